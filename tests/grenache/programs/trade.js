// An unmodified client of Grenache that trades through a node. The first argument is the address of
// the node's Grape, the second the name of the service, the third a list of payloads. The answers
// are printed as one JSON list; an error is {"error": text}. The fourth says how requests are made: none,
// gzip, stream or headers; the fifth names the files of TLS, if there is to be TLS: {"key", "cert", "ca"}.
'use strict'

const fs = require('fs')
const { promisify } = require('util')
const Link = require('grenache-nodejs-link')
const { PeerRPCClient } = require('grenache-nodejs-http')

const [grape, key, payloads, packing, files] = process.argv.slice(2)
const read = ([name, path]) => [name, fs.readFileSync(path)]
const secure = files && Object.fromEntries(Object.entries(JSON.parse(files)).map(read))
const link = new Link({ grape })
link.start()
const client = new PeerRPCClient(link, secure ? { secure } : {})
client.init()

const options = { timeout: 20000, compress: packing === 'gzip' }
const request = (payload) => new Promise((resolve) => {
  client.request(key, payload, options, (error, result) => {
    resolve(error ? { error: error.message } : result)
  })
})

// As a stream: the payload is in the body, or in the headers for actions and their arguments.
const stream = async (payload) => {
  const found = await promisify(link.lookup.bind(link))(key, {})
  const headers = packing === 'headers' ? { _a: payload.action, ...(payload.args && { _ar: payload.args }) } : {}
  const both = await client.transport(found[0], {}).requestStream(key, { ...options, headers })
  both.end(packing === 'headers' ? 'no JSON' : JSON.stringify([null, null, payload]))
  let text = ''
  for await (const chunk of both) text += chunk
  const [rid, error, result] = JSON.parse(text)
  if (!rid) return { error: 'the answer has no rid' }
  return error ? { error } : result
}

const ask = ['stream', 'headers'].includes(packing) ? stream : request

async function main () {
  const answers = []
  for (const payload of JSON.parse(payloads)) answers.push(await ask(payload))
  console.log(JSON.stringify(answers))
  process.exit(0)
}

main()
