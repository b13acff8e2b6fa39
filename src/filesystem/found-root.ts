/**
 * The root list as it is found on a device, believing nothing; see docs/internals/format.md, "Block 0".
 */
import { type Geometry, REFERENCE_BYTES, type Reference, readReference } from './geometry.ts'
import { KIND_ROOT, NO_OWNER, type Sealer } from './sector.ts'
import { chooseTwin, TwinRegion } from './twins.ts'

/** Entry `i` is in twin floor(i / references per sector). */
export interface FoundRoot {
  readonly region: TwinRegion
  readonly entries: (Reference | undefined)[]
  /** Twins that have no valid copy. */
  readonly lost: readonly number[]
  /** Twins whose older copy is valid and lists what the current one does not. */
  readonly halfRemoved: readonly number[]
  /** Twins whose other copy is not valid, or lists something else. */
  readonly unsettled: readonly number[]
}

/** Of block 0 in `memory`. `rotten` hears of twins of which only the copy `good` is valid. */
export function findRoot(
  geometry: Geometry,
  sealer: Sealer,
  memory: Uint8Array,
  rotten: (region: TwinRegion, twin: number, good: 0 | 1) => void,
): FoundRoot {
  const { sectorBytes, rootTwins, referencesPerSector } = geometry
  const region = new TwinRegion(sectorBytes, rootTwins * sectorBytes, rootTwins, sectorBytes)
  const entries = new Array<Reference | undefined>(geometry.torrentsMax).fill(undefined)
  const lost: number[] = []
  const halfRemoved: number[] = []
  const unsettled: number[] = []
  for (let twin = 0; twin < rootTwins; twin++) {
    const at = [region.placeOf(twin, 0), region.placeOf(twin, 1)] as const
    const choice = chooseTwin(sealer, memory, at, region, twin, KIND_ROOT, NO_OWNER)
    if (choice.copy === undefined) {
      lost.push(twin)
      continue
    }
    const current = at[choice.copy]
    if (!choice.both) rotten(region, twin, choice.copy)
    for (let i = 0; i < referencesPerSector; i++) {
      const from = current + i * REFERENCE_BYTES
      entries[twin * referencesPerSector + i] = readReference(memory, from)
    }
    const other = at[1 - choice.copy]!
    if (choice.both && listAlike(geometry, memory, current, other)) continue
    const older = choice.both && listsMore(geometry, memory, other, current)
    if (older) halfRemoved.push(twin)
    if (!choice.both || older || listsMore(geometry, memory, current, other)) unsettled.push(twin)
  }
  return { region, entries, lost, halfRemoved, unsettled }
}

/** True when two sectors hold the same references: almost always. */
function listAlike(geometry: Geometry, memory: Uint8Array, one: number, other: number): boolean {
  const bytes = geometry.referencesPerSector * REFERENCE_BYTES
  const whole = Buffer.from(memory.buffer, memory.byteOffset, memory.length)
  return whole.compare(whole, one, one + bytes, other, other + bytes) === 0
}

/** True when the sector at `one` has a reference that the one at `other` has not. */
function listsMore(geometry: Geometry, memory: Uint8Array, one: number, other: number): boolean {
  for (let i = 0; i < geometry.referencesPerSector; i++) {
    const before = readReference(memory, one + i * REFERENCE_BYTES)
    const now = readReference(memory, other + i * REFERENCE_BYTES)
    if (before !== undefined && before.id !== now?.id) return true
  }
  return false
}
