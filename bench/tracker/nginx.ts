/** nginx: what a good web server costs. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Absent,
  type CertificateFiles,
  type Contender,
  freePort,
  startServer,
} from './servers.ts'

/** One process that answers everything with the same body; with `tls` over TLS 1.3. */
export function nginx(
  directory: string,
  bodyBytes: number,
  tls?: CertificateFiles,
): Contender | Absent {
  const found = spawnSync('nginx', ['-v'], { encoding: 'utf8' })
  if (found.error !== undefined) {
    return { name: 'nginx', title: 'nginx', absent: 'nginx is not installed' }
  }
  const [, version = ''] = /nginx\/(\S+)/.exec(found.stderr) ?? []
  return {
    name: 'nginx',
    title: `nginx ${version}`,
    async start() {
      const port = await freePort()
      const config = join(directory, 'nginx.conf')
      const secured =
        tls === undefined
          ? ''
          : `    ssl_certificate ${tls.cert};
    ssl_certificate_key ${tls.key};
    ssl_protocols TLSv1.3;
`
      writeFileSync(
        config,
        `worker_processes 1;
master_process off;
daemon off;
pid ${directory}/nginx.pid;
error_log ${directory}/nginx.log;
events { worker_connections 4096; multi_accept on; }
http {
  access_log off;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:${port} ${tls === undefined ? '' : 'ssl '}deferred;
${secured}    location / { default_type text/plain; return 200 "${'d'.padEnd(bodyBytes, 'x')}"; }
  }
}
`,
      )
      return startServer(['nginx', '-c', config, '-e', `${directory}/nginx.log`], port, 'connects')
    },
  }
}
