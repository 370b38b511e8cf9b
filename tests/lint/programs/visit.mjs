// Connects to each "NAME PORT HOST" line of the file in argv[3], trusting the roots in argv[2]; prints "NAME: WORDS".
import fs from 'node:fs'
import tls from 'node:tls'

const ca = fs.readFileSync(process.argv[2], 'utf8').split(/(?<=-----END CERTIFICATE-----\n)/).filter((one) => one.trim())
for (const line of fs.readFileSync(process.argv[3], 'utf8').trim().split('\n')) {
  const [name, port, host] = line.split(' ')
  const words = await new Promise((resolve) => {
    const checkServerIdentity = (_, certificate) => tls.checkServerIdentity(host, certificate)
    const options = { host: '127.0.0.1', port: Number(port), servername: 'localhost', checkServerIdentity, ca }
    const socket = tls.connect(options, () => { resolve('ok'); socket.destroy() })
    socket.on('error', (error) => resolve(`${error.code} ${error.message}`))
    socket.on('close', () => resolve('closed'))
  })
  console.log(`${name}: ${words.split('\n')[0]}`)
}
