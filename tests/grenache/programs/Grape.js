// Stands in for lib/Grape.js of grenache-grape in its own test suite: the same class, but the Grape
// is a process of our program, and every method goes through its HTTP interface.
'use strict'

const { spawn } = require('child_process')
const Events = require('events')
const http = require('http')
const readline = require('readline')

const ports = JSON.parse(process.env.GRAPE_PORTS)
const children = new Set()
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')))

const noop = () => {}
const dhtPort = (port) => ports.udp[port] || port
const entrance = (text) => text.replace(/\d+$/, (port) => dhtPort(Number(port)))

class Grape extends Events {
  constructor (conf) {
    super()
    this.conf = { dht_bootstrap: [], dht_peer_maxAge: 120000, ...conf }
    this.agent = new http.Agent({ keepAlive: true })
  }

  start (cb = noop) {
    if (this.child) return cb()
    if (!this.conf.api_port) return cb(new Error('ERR_NO_PORT'))
    const child = spawn(process.env.BITFITECH, [
      'grape',
      '--dp', dhtPort(this.conf.dht_port),
      '--aph', ports.tcp[this.conf.api_port],
      '--bn', this.conf.dht_bootstrap.map(entrance).join(','),
      '--dpa', this.conf.dht_peer_maxAge,
      '--events', 'json'
    ], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.child = child
    children.add(child)
    child.once('exit', () => children.delete(child))
    readline.createInterface({ input: child.stdout }).on('line', (line) => {
      const event = JSON.parse(line)
      if (event.event === 'error') return cb(Object.assign(new Error(event.message), event))
      this.emit(event.event, event.name || event.peer)
      if (event.event === 'listening') cb(null)
    })
  }

  stop (cb = noop) {
    const child = this.child
    this.child = null
    this.agent.destroy()
    if (!child) return cb()
    if (child.exitCode !== null) return cb()
    child.once('exit', () => cb())
    child.kill('SIGTERM')
  }

  // A result is told from the text of an error by what it looks like.
  ask (route, data, isResult, cb = noop) {
    const request = http.request({
      host: '127.0.0.1',
      port: this.conf.api_port,
      path: '/' + route,
      method: 'POST',
      agent: this.agent
    }, (response) => {
      let text = ''
      response.on('data', (chunk) => { text += chunk })
      response.on('end', () => {
        const result = text && JSON.parse(text)
        if (isResult(result)) cb(null, result)
        else cb(new Error(result))
      })
    })
    request.on('error', cb)
    request.end(JSON.stringify({ rid: 'suite', data }))
  }

  announce (name, port, cb) {
    this.ask('announce', [name, port], Number.isInteger, cb)
  }

  lookup (name, cb) {
    this.ask('lookup', name, Array.isArray, cb)
  }

  put (options, cb) {
    this.ask('put', options, (result) => /^[0-9a-f]{40}$/.test(result), cb)
  }

  get (hash, cb) {
    this.ask('get', hash, (result) => typeof result === 'object', cb)
  }
}

module.exports = Grape
