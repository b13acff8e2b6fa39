/** As src/cli/launch.cts: threads for disks, before node loads anything. */
process.env.UV_THREADPOOL_SIZE ??= '16'

void import('./main.ts')
