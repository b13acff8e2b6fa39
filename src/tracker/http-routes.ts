/**
 * Which path is what. A route is literal segments, `:name` for any one segment, and `*name` for all that is left:
 *
 *     /announce        /:passkey/announce        /t/*rest
 *
 * Literal routes are tried in order, then those with parameters. The first parameter's value is found for who wants it
 * (a passkey). Matching compares bytes and allocates nothing.
 */

export type HttpRoute = 'announce' | 'scrape' | 'root' | 'none'

interface Route {
  readonly kind: HttpRoute
  /** Literal bytes, or null for a parameter. A trailing `*name` is the flag. */
  readonly segments: readonly (Uint8Array | null)[]
  readonly catchAll: boolean
}

const MAX_SEGMENTS = 16
const SLASH = 0x2f

/** What is wrong with a route, or undefined. */
export function routeProblem(route: string): string | undefined {
  if (!route.startsWith('/') || route.length > 256) return 'must begin with a slash'
  if (!/^[\x21-\x7e]+$/.test(route) || /[?#]/.test(route))
    return 'must be a path in ASCII, without a query'
  const segments = route.slice(1).split('/')
  if (segments.length > MAX_SEGMENTS) return `has more than ${MAX_SEGMENTS} segments`
  for (const [i, segment] of segments.entries()) {
    if (segment === ':' || segment === '*') return 'has a parameter without a name'
    if (segment.startsWith('*') && i < segments.length - 1) return 'has * before its end'
  }
  return undefined
}

export class HttpRoutes {
  /** Bounds of the first parameter of the last match; start -1 when the route has none. */
  parameterStart = -1
  parameterEnd = -1
  readonly #routes: readonly Route[]

  constructor(announce: readonly string[], scrape: readonly string[]) {
    const routes = [
      ...announce.map((path) => compile('announce', path)),
      ...scrape.map((path) => compile('scrape', path)),
    ]
    const isLiteral = (route: Route): boolean => !route.catchAll && !route.segments.includes(null)
    this.#routes = [...routes.filter(isLiteral), ...routes.filter((route) => !isLiteral(route))]
  }

  match(bytes: Uint8Array, start: number, end: number): HttpRoute {
    for (let i = 0; i < this.#routes.length; i++) {
      const route = this.#routes[i]!
      if (this.#matches(route, bytes, start, end)) return route.kind
    }
    this.parameterStart = -1
    return end - start === 1 && bytes[start] === SLASH ? 'root' : 'none'
  }

  #matches(route: Route, bytes: Uint8Array, start: number, end: number): boolean {
    this.parameterStart = -1
    let at = start
    for (let i = 0; i < route.segments.length; i++) {
      if (at >= end || bytes[at] !== SLASH) return false
      at++
      const segment = route.segments[i]!
      let stop = at
      while (stop < end && bytes[stop] !== SLASH) stop++
      if (segment === null) {
        if (stop === at) return false
        if (this.parameterStart < 0) {
          this.parameterStart = at
          this.parameterEnd = stop
        }
      } else {
        if (stop - at !== segment.length) return false
        for (let j = 0; j < segment.length; j++) if (bytes[at + j] !== segment[j]) return false
      }
      at = stop
    }
    return route.catchAll ? at < end && bytes[at] === SLASH : at === end
  }
}

function compile(kind: HttpRoute, path: string): Route {
  const segments = path.slice(1).split('/')
  const catchAll = segments.at(-1)!.startsWith('*')
  if (catchAll) segments.pop()
  return {
    kind,
    catchAll,
    segments: segments.map((one) =>
      one.startsWith(':') ? null : new Uint8Array(Buffer.from(one, 'latin1')),
    ),
  }
}
