// An unmodified client of Grenache that trades through a node. The first argument is the address of
// the node's Grape, the second the name of the service, the third a list of payloads. The answers
// are printed as one JSON list; an error is {"error": text}.
'use strict'

const Link = require('grenache-nodejs-link')
const { PeerRPCClient } = require('grenache-nodejs-http')

const [grape, key, payloads] = process.argv.slice(2)
const link = new Link({ grape })
link.start()
const client = new PeerRPCClient(link, {})
client.init()

const options = { timeout: 20000, compress: process.argv[5] === 'gzip' }
const ask = (payload) => new Promise((resolve) => {
  client.request(key, payload, options, (error, result) => {
    resolve(error ? { error: error.message } : result)
  })
})

async function main () {
  const answers = []
  for (const payload of JSON.parse(payloads)) answers.push(await ask(payload))
  console.log(JSON.stringify(answers))
  process.exit(0)
}

main()
