// A week of free slots from memory, answered by mercurius. Usage: node server.mjs <port, 0: any> <jit: 0 or 1>
import Fastify from 'fastify'
import mercurius from 'mercurius'

const [port, jit] = process.argv.slice(2).map(Number)

const schema = `
  type Slot { startsAt: String! endsAt: String! remaining: Int! providerId: ID! }
  type AvailabilityDay { date: String! slots: [Slot!]! }
  type Availability { days: [AvailabilityDay!]! }
  type Query { availability: Availability! }
`

const clock = (halfHour) => `${String(8 + (halfHour >> 1)).padStart(2, '0')}:${halfHour % 2 ? '30' : '00'}:00Z`

const week = {
  days: Array.from({ length: 7 }, (_, day) => {
    const date = `2026-03-0${day + 1}`
    return {
      date,
      slots: Array.from({ length: 20 }, (_, number) => ({
        startsAt: `${date}T${clock(number)}`,
        endsAt: `${date}T${clock(number + 1)}`,
        remaining: number % 5,
        providerId: `prv_${number % 4}`
      }))
    }
  })
}

const app = Fastify({ logger: false })
app.register(mercurius, {
  schema,
  resolvers: { Query: { availability: async () => week } },
  jit: jit ? 1 : 0
})

await app.listen({ port, host: '127.0.0.1' })
process.stdout.write(`${app.server.address().port}\n`)
