#!/usr/bin/env node
/**
 * The entry point: sets how many threads node has for disks and how much memory for garbage, then runs main.ts.
 *
 * libuv reads UV_THREADPOOL_SIZE when its pool is first used, and node's loader of ES modules uses it: by the
 * time that one runs, four threads are there for good. A CommonJS module is loaded without the pool, so
 * this is one. The pool is the process's: worker threads share it.
 */

/** What a disk, or a flash drive, is asked at once; four leave most of it idle (bench/README.md). */
const THREADS_PER_DEVICE = 16
/** Each further device; all are seldom busy at once. */
const THREADS_MORE = 8
const THREADS_MAX = 128

/** Of a tracker, which reads its lists and certificates and has no disk to keep busy: each thread costs memory. */
const THREADS_WITHOUT_DEVICE = 4

const devices = process.argv.filter((word) => /^--device(=|$)/.test(word)).length
process.env.UV_THREADPOOL_SIZE ??= String(
  process.argv[2] === 'tracker'
    ? THREADS_WITHOUT_DEVICE
    : Math.min(THREADS_MAX, THREADS_PER_DEVICE + THREADS_MORE * Math.max(0, devices - 1)),
)

const v8 = require('node:v8') as typeof import('node:v8')

/**
 * In a burst, such as a thousand handshakes or ten thousand torrents that are opened, V8 lets the memory for young objects grow
 * to 32 MiB, and keeps it. This way it stays at the 2 MiB that it begins with: what runs for long here makes little garbage.
 */
v8.setFlagsFromString('--semi-space-growth-factor=1')
v8.setFlagsFromString('--heap-growing-percent=20')

void import('./main.ts')
