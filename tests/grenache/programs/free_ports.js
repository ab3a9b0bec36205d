// Loaded before a test suite that names fixed ports: connections to those go to free ones instead,
// so that several suites can run on one machine.
'use strict'

const net = require('net')

const { tcp } = JSON.parse(process.env.GRAPE_PORTS)
const connect = net.Socket.prototype.connect

net.Socket.prototype.connect = function (...values) {
  const options = Array.isArray(values[0]) ? values[0][0] : values[0]
  if (options && tcp[options.port]) options.port = tcp[options.port]
  return connect.apply(this, values)
}
