// Load for HTTP servers: so many connections, each of which asks, reads the whole answer and asks again (keep), or asks on a new
// connection (close). One thread, one epoll. Prints one JSON object.
//
//   http-load PORT CONNECTIONS keep|close WARM_MS MEASURE_MS PID REQUESTS_FILE [once]
//
// REQUESTS_FILE: requests one after the other, each a 32-bit little-endian length and its bytes. They are sent in turn; with `once`
// each is sent exactly once and nothing is measured. New connections come from 127.0.1.1 to 127.0.1.64 in turn, so that no address runs out of
// ports. The CPU time of process PID is taken from its clock at both ends of the measured window.
//
// An answer is whole when as many bytes of body have come as Content-Length says. Everything that is not `200` or does not begin with the
// byte 'd' (a bencoded dictionary) is counted as bad, except with the environment variable ANY_BODY.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SOURCES = 64, ANSWER_BYTES = 65536, BUCKETS = 100000 };

struct connection {
  int fd;
  uint64_t asked_ns;
  uint32_t got;      // bytes of the answer so far
  uint32_t whole;    // bytes of the whole answer; 0: not known yet
  int done;          // close: the answer is whole, the end is waited for
};

static char *requests;
static uint32_t *starts, *lengths, request_count, next_request;
static int epoll_fd, closes, any_body, once;
static struct sockaddr_in server;
static uint32_t next_source;
static uint64_t answered, bad, failed, body_bytes, sent_requests;
static uint32_t latency[BUCKETS];
static int measuring;
static char buffer[ANSWER_BYTES];

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

// CPU time of a process, all its threads.
static uint64_t cpu_ns(int pid) {
  clockid_t clock;
  struct timespec t;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0) die("the clock of the server");
  return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static void open_connection(struct connection *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket");
  int one = 1;
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct sockaddr_in source = {.sin_family = AF_INET};
  source.sin_addr.s_addr = htonl(0x7f000101 + next_source++ % SOURCES);
  if (bind(c->fd, (void *)&source, sizeof source) != 0) die("bind");
  // Over loopback this does not wait unless the backlog is full.
  if (connect(c->fd, (void *)&server, sizeof server) != 0) die("connect");
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0) die("epoll_ctl");
}

static int ask(struct connection *c) {
  if (once && sent_requests == request_count) return 0;
  uint32_t n = next_request++ % request_count;
  c->got = c->whole = 0;
  c->done = 0;
  c->asked_ns = now_ns();
  sent_requests++;
  if (send(c->fd, requests + starts[n], lengths[n], MSG_NOSIGNAL) != (ssize_t)lengths[n]) failed++;
  return 1;
}

static void again(struct connection *c) {
  close(c->fd);
  open_connection(c);
  ask(c);
}

// Looks at an answer whose head is whole.
static void look(struct connection *c, char *bytes, uint32_t count) {
  char *end = memmem(bytes, count, "\r\n\r\n", 4);
  if (!end) return;
  char *length = strcasestr(bytes, "content-length:");
  uint32_t body = length && length < end ? (uint32_t)atoi(length + 15) : 0;
  c->whole = (uint32_t)(end + 4 - bytes) + body;
  body_bytes += body;
  int good = memcmp(bytes, "HTTP/1.", 7) == 0 && memcmp(bytes + 8, " 200", 4) == 0;
  if (!good || (!any_body && end + 4 < bytes + count && end[4] != 'd')) bad++;
}

static void readable(struct connection *c) {
  for (;;) {
    ssize_t n = recv(c->fd, buffer, sizeof buffer - 1, 0);
    if (n < 0) {
      if (errno == EAGAIN) return;
      failed++;
      again(c);
      return;
    }
    if (n == 0) {
      // Who keeps no promise of keep-alive is counted where it hurts: a new connection.
      if (!c->done) failed++;
      again(c);
      return;
    }
    buffer[n] = 0;
    if (c->got == 0) look(c, buffer, (uint32_t)n);
    c->got += n;
    // Some servers do not say how long the answer is; then its end is that of the connection.
    if (c->whole == 0 || c->got < c->whole) {
      if (c->whole == 0 && closes) c->done = 1;
      return;
    }
    answered++;
    if (measuring) {
      uint64_t us = (now_ns() - c->asked_ns) / 1000;
      latency[us < BUCKETS ? us : BUCKETS - 1]++;
    }
    if (closes) {
      again(c);
      return;
    }
    if (!ask(c)) return;
    if ((size_t)n < sizeof buffer - 1) return;
  }
}

static uint32_t percentile(uint64_t total, double share) {
  uint64_t seen = 0;
  for (uint32_t us = 0; us < BUCKETS; us++) {
    seen += latency[us];
    if (seen >= total * share) return us;
  }
  return BUCKETS;
}

static void run_for(uint64_t ns) {
  struct epoll_event events[256];
  uint64_t end = now_ns() + ns;
  while (now_ns() < end) {
    // It never sleeps: a server must not be charged for waking it.
    int n = epoll_wait(epoll_fd, events, 256, 0);
    for (int i = 0; i < n; i++) readable(events[i].data.ptr);
    if (once && answered + failed >= request_count) return;
  }
}

int main(int argc, char **argv) {
  if (argc < 8) return fprintf(stderr, "see the source\n"), 2;
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int count = atoi(argv[2]);
  closes = strcmp(argv[3], "close") == 0;
  int pid = atoi(argv[6]);
  any_body = getenv("ANY_BODY") != NULL;
  once = argc > 8;
  int file = open(argv[7], O_RDONLY);
  struct stat facts;
  if (file < 0 || fstat(file, &facts) != 0) die(argv[7]);
  requests = malloc(facts.st_size);
  for (ssize_t got = 0, n; got < facts.st_size; got += n) {
    n = read(file, requests + got, facts.st_size - got);
    if (n <= 0) die("read");
  }
  starts = malloc(facts.st_size / 4 * sizeof *starts);
  lengths = malloc(facts.st_size / 4 * sizeof *lengths);
  for (uint32_t at = 0; at < facts.st_size; request_count++) {
    memcpy(&lengths[request_count], requests + at, 4);
    starts[request_count] = at + 4;
    at += 4 + lengths[request_count];
  }
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct connection *connections = calloc(count, sizeof *connections);
  for (int i = 0; i < count; i++) {
    open_connection(&connections[i]);
    ask(&connections[i]);
  }
  run_for(once ? UINT64_MAX / 4 : atoll(argv[4]) * 1000000u);
  uint64_t before = answered, begun = now_ns();
  uint64_t cpu = cpu_ns(pid), own = cpu_ns(getpid());
  if (!once) {
    measuring = 1;
    run_for(atoll(argv[5]) * 1000000u);
  }
  double seconds = (now_ns() - begun) / 1e9;
  cpu = cpu_ns(pid) - cpu;
  own = cpu_ns(getpid()) - own;
  uint64_t total = answered - before;
  printf("{\"answers\":%lu,\"seconds\":%.4f,\"cpuNs\":%lu,\"ownNs\":%lu,\"bad\":%lu,\"failed\":%lu,\"bodyBytes\":%.1f,"
         "\"p50Us\":%u,\"p99Us\":%u}\n",
         total, seconds, cpu, own, bad, failed, answered ? (double)body_bytes / answered : 0.0,
         percentile(total, 0.5), percentile(total, 0.99));
  return 0;
}
