// The place from which bench/store/optmem.ts runs the original's own benchmarks.
module seedbed.invalid/bench/optmem

go 1.19
