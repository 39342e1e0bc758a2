// PostGraphile over a database as it is. Usage: node server.mjs <socket folder> <port of PostgreSQL> <user> <database>
// It prints its own port.
import { createServer } from 'node:http'
import pg from 'pg'
import { postgraphile } from 'postgraphile'
import { makePgService } from 'postgraphile/adaptors/pg'
import { grafserv } from 'postgraphile/grafserv/node'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'
import { PostGraphileConnectionFilterPreset } from 'postgraphile-plugin-connection-filter'

const [host, port, user, database] = process.argv.slice(2)

const preset = {
  extends: [PostGraphileAmberPreset, PostGraphileConnectionFilterPreset],
  pgServices: [
    makePgService({ pool: new pg.Pool({ host, port: Number(port), user, database, max: 10 }), schemas: ['public'] })
  ],
  grafast: { explain: false },
  grafserv: { graphqlPath: '/graphql', graphiql: false, websockets: false }
}

const instance = postgraphile(preset)
const server = createServer()
server.keepAliveTimeout = 600_000 // the client decides
await instance.createServ(grafserv).addTo(server)
await instance.getSchema()
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
