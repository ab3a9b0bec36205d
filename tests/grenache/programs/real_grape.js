// Grenache's own Grape, configured by the JSON of its argument. Other than its command it checks
// signatures, so that values can be changed. It prints its events, one JSON object a line.
'use strict'

const crypto = require('crypto')
const { Grape } = require('grenache-grape')

// What stands before the 32 bytes of an ed25519 key in its DER form.
const prefix = Buffer.from('302a300506032b6570032100', 'hex')

const verify = (signature, message, key) => {
  const der = Buffer.concat([prefix, key])
  const publicKey = crypto.createPublicKey({ key: der, format: 'der', type: 'spki' })
  return crypto.verify(null, message, publicKey, signature)
}

const say = (event) => console.log(JSON.stringify(event))
const configuration = JSON.parse(process.argv[2])
const grape = new Grape({ ...configuration, verify })

grape.on('ready', () => say({ event: 'ready' }))
grape.on('node', () => say({ event: 'node' }))
if (!configuration.silent) grape.on('announce', (name) => say({ event: 'announce', name }))
grape.start((error) => {
  if (error) throw error
  say({ event: 'listening', dht_port: grape.conf.dht_port, api_port: grape.conf.api_port })
})
