import assert from 'node:assert/strict'
import type { NetworkInterfaceInfo } from 'node:os'
import { test } from 'node:test'
import { announceTiers, reachableHosts } from '../../src/node/index.ts'

const face = (address: string, internal = false): NetworkInterfaceInfo =>
  ({ address, internal, family: address.includes(':') ? 'IPv6' : 'IPv4' }) as NetworkInterfaceInfo

test('the first address of each family that others can route to', () => {
  const interfaces = {
    lo: [face('127.0.0.1', true), face('::1', true)],
    eth0: [face('169.254.1.1'), face('fe80::1'), face('198.51.100.7'), face('2001:db8::7')],
    eth1: [face('198.51.100.8')],
  }
  assert.deepEqual(reachableHosts(interfaces), ['198.51.100.7', '2001:db8::7'])
})

test('a machine by itself is reached by its loopback address', () => {
  assert.deepEqual(reachableHosts({ lo: [face('127.0.0.1', true)] }), ['127.0.0.1'])
})

test('one tier a host, HTTP before UDP, IPv6 in brackets', () => {
  assert.deepEqual(announceTiers(['198.51.100.7', '2001:db8::7', 'bt.example'], 6969), [
    ['http://198.51.100.7:6969/announce', 'udp://198.51.100.7:6969/announce'],
    ['http://[2001:db8::7]:6969/announce', 'udp://[2001:db8::7]:6969/announce'],
    ['http://bt.example:6969/announce', 'udp://bt.example:6969/announce'],
  ])
})
