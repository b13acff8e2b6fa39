/** Whether uTP is spoken, and who is asked first: the system's TCP, or uTP. */

/**
 * - `off`: TCP only; nothing over UDP is taken for uTP.
 * - `on`: who comes over uTP is welcome; we connect over TCP, and over uTP to whom TCP does not reach. TCP costs a fraction
 *   of the processor's time, because the system does it.
 * - `prefer`: the other way round: uTP first, which gives way to whatever else uses the line.
 */
export const utpPolicies = ['off', 'on', 'prefer'] as const
export type UtpPolicy = (typeof utpPolicies)[number]
