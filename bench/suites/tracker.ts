/** Suite `tracker`: the tracker over the network, against other trackers and against a limit. Method: bench/README.md. */
import type { Suite } from '../suite.ts'
import { benchHttp } from '../tracker/http.ts'
import { benchHttps } from '../tracker/https.ts'
import { benchUdp } from '../tracker/udp.ts'
import { benchWebSocket } from '../tracker/websocket.ts'

export const tracker: Suite = {
  name: 'tracker',
  about: 'the tracker over the network: CPU time a request, requests a second, memory',
  parts: ['http', 'tls', 'udp', 'udp-large-swarms', 'udp-many-swarms', 'udp-workers', 'websocket'],
  async run(context) {
    if (context.runs('http')) await benchHttp(context)
    if (context.runs('tls')) await benchHttps(context)
    await benchUdp(context)
    if (context.runs('websocket')) await benchWebSocket(context)
  },
}
