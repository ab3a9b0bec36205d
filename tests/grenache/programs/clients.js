// Unmodified clients of Grenache, using the Grape at the address of the first argument. What they
// got is printed as one JSON object.
'use strict'

const Link = require('grenache-nodejs-link')
const { PeerRPCClient, PeerRPCServer } = require('grenache-nodejs-http')
const { once } = require('events')
const { promisify } = require('util')

const link = new Link({ grape: process.argv[2] })
link.start()

const call = (name, ...values) => promisify(link[name].bind(link))(...values)

async function main () {
  const results = {}
  results.announced = await call('announce', 'interoperation', 1337, {})
  results.found = await call('lookup', 'interoperation', {})
  results.hash = await call('put', { v: 'hello world' })
  results.value = (await call('get', results.hash)).v
  results.missing = await call('lookup', 'nobody', {}).catch((error) => error.message)

  const server = new PeerRPCServer(link, { timeout: 60000 })
  server.init()
  const service = server.transport('server')
  service.listen(0)
  if (!service.socket.listening) await once(service.socket, 'listening')
  service.on('request', (rid, key, payload, handler) => handler.reply(null, [key, payload]))
  await call('announce', 'service', service.socket.address().port, {})
  const client = new PeerRPCClient(link, {})
  client.init()
  const request = promisify(client.request.bind(client))
  results.reply = await request('service', { greeting: 'hello' }, { timeout: 10000 })
  return results
}

main().then((results) => {
  console.log(JSON.stringify(results))
  process.exit(0)
}, (error) => {
  console.error(error)
  process.exit(1)
})
