// bittorrent-tracker as its README starts it: `node serve.mjs udp|http|ws PORT`. Says `ready` when it listens.
import { Server } from 'bittorrent-tracker'

const [protocol, port] = process.argv.slice(2)
const server = new Server({
  udp: protocol === 'udp',
  http: protocol === 'http',
  ws: protocol === 'ws',
  stats: false,
})
server.on('error', (error) => console.error(error.message))
server.on('warning', () => {})
// It opens sockets of both families for UDP.
const host = '127.0.0.1'
server.listen(Number(port), { http: host, udp: host, udp6: '::1' }, () => console.log('ready'))
