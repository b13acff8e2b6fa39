/** The few statistics that the benchmarks need. */

/** Of a non-empty list; the mean of the middle two where their number is even. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * `rounds` rounds in which every contender runs once, the first one rotating, so that a drift of the
 * machine hits all alike; before them one round that does not count. The results by contender.
 */
export async function interleave<K extends string, R>(
  contenders: readonly (readonly [name: K, run: (round: number) => Promise<R>])[],
  rounds: number,
  onResult: (name: K, round: number, result: R) => void,
): Promise<ReadonlyMap<K, readonly R[]>> {
  const results = new Map<K, R[]>(contenders.map(([name]) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const [name, run] = contenders[(turn + round) % contenders.length]!
      const result = await run(round)
      onResult(name, round, result)
      if (round > 0) results.get(name)!.push(result)
    }
  }
  return results
}
