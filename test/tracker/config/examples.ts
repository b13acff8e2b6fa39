/** Configurations as chihaya and optmem have them in their documents: the same keys, values and notation. */

/** chihaya's example of today. */
export const CHIHAYA = `chihaya:
  announce_interval: "30m"
  min_announce_interval: "15m"
  metrics_addr: "0.0.0.0:6880"
  http:
    addr: "0.0.0.0:6969"
    https_addr: ""
    tls_cert_path: ""
    tls_key_path: ""
    read_timeout: "5s"
    write_timeout: "5s"
    enable_keepalive: false
    idle_timeout: "30s"
    enable_request_timing: false
    announce_routes:
      - "/announce"
      # - "/announce.php"
    scrape_routes:
      - "/scrape"
    allow_ip_spoofing: false
    real_ip_header: "x-real-ip"
    max_numwant: 100
    default_numwant: 50
    max_scrape_infohashes: 50
  udp:
    addr: "0.0.0.0:6969"
    max_clock_skew: "10s"
    private_key: "paste a random string here that will be used to hmac connection IDs"
    enable_request_timing: false
    allow_ip_spoofing: false
    max_numwant: 100
    default_numwant: 50
    max_scrape_infohashes: 50
  storage:
    name: "memory"
    config:
      gc_interval: "3m"
      peer_lifetime: "31m"
      shard_count: 1024
      prometheus_reporting_interval: "1s"
  prehooks:
`

/** The README of optmem, with the rest of a tracker as it was then. */
export const OPTMEM = `chihaya:
  announce_interval: 15m
  prometheus_addr: localhost:6880
  http:
    addr: 0.0.0.0:6881
    enable_legacy_php_urls: false
  udp:
    addr: 0.0.0.0:6881
  storage:
    name: optmem
    config:
      shard_count_bits: 10
      gc_interval: 2m
      peer_lifetime: 16m
      prometheus_reporting_interval: 1s
`

/** The same as it stands in that README, the rest left out. */
export const OPTMEM_ALONE = `chihaya:
  announce_interval: 15m
  prometheus_addr: localhost:6880
#   ... more tracker config ...

  storage:
    name: optmem
    config:
      shard_count_bits: 10
      gc_interval: 2m
      peer_lifetime: 16m
      prometheus_reporting_interval: 1s

# ... more configuration ...
`
