// The client of the npm package bittorrent-tracker, as a process. Its argument is JSON of its options. Commands are lines on stdin:
// start, update, complete, stop, scrape, end; `scrape HASH HASH …` asks for many. What it hears goes to stdout as lines of JSON.
// Peers of WebTorrent greet each other over a data channel.
import { createInterface } from 'node:readline'
import Client from 'bittorrent-tracker'
import { RTCPeerConnection } from 'webrtc-polyfill'

const say = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }))
const { left = 1, ...options } = JSON.parse(process.argv[2])
// The polyfill does not say that the last candidate is found, and every offer and answer would wait five seconds for more.
RTCPeerConnection.prototype.dispatchEvent = function dispatch(event) {
  const heard = EventTarget.prototype.dispatchEvent.call(this, event)
  if (event.type === 'icegatheringstatechange' && this.iceGatheringState === 'complete') {
    this.onicecandidate?.({ candidate: null })
  }
  return heard
}
const client = new Client({
  port: 6881,
  // Nobody outside of this machine is asked for addresses.
  rtcConfig: { iceServers: [] },
  getAnnounceOpts: () => ({ left }),
  ...options,
})
const counts = ({ complete, incomplete, downloaded, infoHash }) => ({
  complete,
  incomplete,
  downloaded,
  infoHash,
})
client.on('error', (error) => say('error', { message: error.message }))
client.on('warning', (error) => {
  // A connection of two clients that failed is nothing that the tracker said.
  const isBetweenPeers = error.message.startsWith('Connection error')
  say(isBetweenPeers ? 'unconnected' : 'warning', { message: error.message })
})
client.on('update', (data) => say('update', counts(data)))
client.on('scrape', (data) => say('scrape', counts(data)))
client.on('peer', (peer) => {
  if (typeof peer === 'string') {
    say('peer', { peer })
    return
  }
  say('met')
  let greeting
  // What comes before the other side listens is lost: it is said again.
  const greet = () => {
    if (!peer.destroyed && peer.connected) peer.send(options.peerId)
  }
  peer.on('connect', () => {
    say('connected')
    greet()
    greeting = setInterval(greet, 250)
  })
  peer.on('close', () => clearInterval(greeting))
  let greeted = false
  peer.on('data', (data) => {
    if (!greeted) say('greeted', { by: Buffer.from(data).toString() })
    greeted = true
  })
  peer.on('error', () => {})
})
const commands = {
  scrape(...hashes) {
    if (hashes.length === 0) client.scrape()
    else {
      const [announce] = options.announce
      // Over UDP it sends what it is given, over the others it takes hexadecimal.
      const isUdp = announce.startsWith('udp:')
      const infoHash = isUdp ? hashes.map((hash) => Buffer.from(hash, 'hex')) : hashes
      Client.scrape({ announce, infoHash }, (error, results) =>
        error ? say('error', { message: error.message }) : say('scraped', { results }),
      )
    }
  },
  end() {
    client.destroy(() => process.exit(0))
  },
}
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [command, ...words] = line.split(' ')
    if (command in commands) commands[command](...words)
    else client[command]({ left })
  })
  .on('close', () => process.exit(0))
say('ready')
