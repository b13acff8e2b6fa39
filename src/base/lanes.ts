/** Many things done a few at a time. */

/**
 * Takes what is in `queue` out of it, in order, and does `act` with it, `lanes` at a time. After an error nothing more is begun; it
 * rejects with the first one when all that was begun has ended.
 */
export async function inLanes<T>(
  queue: T[],
  lanes: number,
  act: (item: T) => Promise<void>,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined
  const lane = async (): Promise<void> => {
    while (queue.length > 0 && failure === undefined) {
      try {
        await act(queue.shift()!)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  if (failure !== undefined) throw failure.error
}
