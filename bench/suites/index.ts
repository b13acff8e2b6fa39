/** Every suite, in the order of the list that `npm run bench` prints. */
import type { Suite } from '../suite.ts'
import { engine } from './engine.ts'
import { fs } from './fs.ts'
import { path } from './path.ts'
import { picker } from './picker.ts'
import { spin } from './spin.ts'
import { store } from './store.ts'
import { swarm } from './swarm.ts'
import { tracker } from './tracker.ts'

export const suites: readonly Suite[] = [path, engine, spin, fs, store, swarm, tracker, picker]
