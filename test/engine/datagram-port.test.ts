/** The peer port over UDP: who hears what. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shareDatagrams } from '../../src/engine/datagram-port.ts'
import type { OpenDatagramSocket } from '../../src/engine/network.ts'
import { ST_SYN, writeHeader } from '../../src/engine/utp/packet.ts'

function fakeSocket(): OpenDatagramSocket {
  return {
    port: 6881,
    backlog: 0,
    onMessage: () => {},
    onQuiet: () => {},
    send: () => {},
    close: () => {},
  }
}

const QUERY = Buffer.from('d1:q4:ping1:t2:aa1:y1:qe')
const SYN = new Uint8Array(20)
writeHeader(SYN, ST_SYN, 1, 1)

test('a datagram is heard by the side that it is meant for, and by nobody when it comes from port 0', () => {
  const socket = fakeSocket()
  const { dht, utp } = shareDatagrams(new Map([[4, socket]]))
  const heard: string[] = []
  dht.get(4)!.onMessage = (_, host, port) => heard.push(`dht ${host} ${port}`)
  utp.get(4)!.onMessage = (_, host, port) => heard.push(`utp ${host} ${port}`)
  for (const port of [7, 0]) {
    socket.onMessage(QUERY, '192.0.2.1', port)
    socket.onMessage(SYN, '192.0.2.1', port)
    socket.onMessage(new Uint8Array([0]), '192.0.2.1', port)
  }
  assert.deepEqual(heard, ['dht 192.0.2.1 7', 'utp 192.0.2.1 7'])
})
