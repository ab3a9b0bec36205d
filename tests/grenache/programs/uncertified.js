// Asks the service at the address of the first argument over TLS without a certificate of its own.
// Prints "answered" or "refused".
'use strict'

const https = require('https')

const [host, port] = process.argv[2].split(':')
const options = { host, port, method: 'POST', rejectUnauthorized: false }
const request = https.request(options, () => console.log('answered'))
request.on('error', () => console.log('refused'))
request.end('["1", "key", {"action": "digest"}]')
