/*
 * Load for UDP trackers (BEP 15): a closed loop over a few sockets, 64 datagrams a call, and what came back.
 *
 *     udp-load list SWARMS                      prints the info-hashes, one a line
 *     udp-load fill PORT PID SWARMS PEERS ...   announces every peer of every swarm once
 *     udp-load mixed PORT PID SWARMS PEERS SECONDS SOCKETS WINDOW WANTED
 *                                               announces random ones of them again, and scrapes one swarm in 101 requests
 *
 * The announced ports are 1000, 1001, ... in each swarm, and the address is 127.0.0.1, so the tracker holds SWARMS times PEERS peers.
 * WINDOW requests are in flight over all sockets; what is not answered within 250 ms of silence (1 s while filling) counts as lost. The first
 * 0.3 s of `mixed` are not counted. The CPU time is that of the process PID, from its CPU clock, in nanoseconds. One line of JSON is
 * the result.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define RING 65536
#define MAX_SOCKETS 64
#define MICROSECONDS 1000000
#define RENEW_NS 45000000000ULL

static uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

static void info_hash(uint64_t swarm, unsigned char *to) {
  uint64_t words[3] = {mix(swarm * 3 + 1), mix(swarm * 3 + 2), mix(swarm * 3 + 3)};
  memcpy(to, words, 20);
}

static uint64_t now_ns(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t) != 0) return 0;
  return (uint64_t)t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void put32(unsigned char *at, uint32_t value) {
  value = htonl(value);
  memcpy(at, &value, 4);
}

static uint32_t get32(const unsigned char *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return ntohl(value);
}

struct link {
  int fd;
  unsigned in_flight;
  int connecting;
  uint64_t connected_ns;
  unsigned char id[8];
};

static struct link links[MAX_SOCKETS];
static unsigned char out[BATCH][128], in[BATCH][2048];
static struct iovec out_iov[BATCH], in_iov[BATCH];
static struct mmsghdr out_msg[BATCH], in_msg[BATCH];
static uint64_t sent_ns[RING];
static uint32_t latencies[MICROSECONDS];
static uint64_t transaction, replies, errors, bad, peers, bytes, announces;
static char first_error[256];
static uint64_t random_state = 88172645463325252ULL;

static uint64_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static unsigned write_connect(struct link *link, unsigned char *to) {
  put32(to, 0x417);
  put32(to + 4, 0x27101980);
  put32(to + 8, 0);
  link->connecting = 1;
  return 16;
}

static unsigned write_scrape(struct link *link, unsigned char *to, uint64_t swarm) {
  memcpy(to, link->id, 8);
  put32(to + 8, 2);
  info_hash(swarm, to + 16);
  return 36;
}

static unsigned write_announce(struct link *link, unsigned char *to, uint64_t swarm, unsigned peer, int wanted) {
  memcpy(to, link->id, 8);
  put32(to + 8, 1);
  info_hash(swarm, to + 16);
  memcpy(to + 36, "-LD0001-", 8);
  memset(to + 44, 0, 54);
  put32(to + 52, peer);
  put32(to + 68, 1);
  put32(to + 92, wanted);
  uint16_t port = htons(1000 + peer);
  memcpy(to + 96, &port, 2);
  return 98;
}

static void take(struct link *link, const unsigned char *reply, unsigned length, uint64_t now) {
  if (link->in_flight > 0) link->in_flight--;
  if (length < 8) {
    bad++;
    return;
  }
  uint32_t action = get32(reply);
  uint32_t id = get32(reply + 4);
  uint64_t waited = (now - sent_ns[id % RING]) / 1000;
  latencies[waited < MICROSECONDS ? waited : MICROSECONDS - 1]++;
  bytes += length;
  if (action == 0 && length >= 16) {
    memcpy(link->id, reply + 8, 8);
    link->connected_ns = now;
    link->connecting = 0;
    return;
  }
  replies++;
  if (action == 1 && length >= 20 && (length - 20) % 6 == 0) {
    announces++;
    peers += (length - 20) / 6;
  } else if (action == 3) {
    if (errors++ == 0) snprintf(first_error, sizeof first_error, "%.*s", (int)(length - 8 > 200 ? 200 : length - 8), reply + 8);
  } else if (action != 2) {
    bad++;
  }
}

/* Returns what was received. */
static int receive(struct link *link) {
  int count = recvmmsg(link->fd, in_msg, BATCH, MSG_DONTWAIT, NULL);
  if (count <= 0) return 0;
  uint64_t now = now_ns(CLOCK_MONOTONIC);
  for (int i = 0; i < count; i++) take(link, in[i], in_msg[i].msg_len, now);
  return count;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "list") == 0) {
    for (long swarm = 0; swarm < atol(argv[2]); swarm++) {
      unsigned char hash[20];
      info_hash(swarm, hash);
      for (int i = 0; i < 20; i++) printf("%02x", hash[i]);
      putchar('\n');
    }
    return 0;
  }
  if (argc != 10) {
    fprintf(stderr, "usage: udp-load list SWARMS | fill|mixed PORT PID SWARMS PEERS SECONDS SOCKETS WINDOW WANTED\n");
    return 2;
  }
  int fill = strcmp(argv[1], "fill") == 0;
  int port = atoi(argv[2]);
  clockid_t cpu;
  if (clock_getcpuclockid(atoi(argv[3]), &cpu) != 0) fail("clock_getcpuclockid");
  uint64_t swarms = atoll(argv[4]), each = atoll(argv[5]);
  double seconds = atof(argv[6]);
  int sockets = atoi(argv[7]), window = atoi(argv[8]), wanted = atoi(argv[9]);
  if (sockets < 1 || sockets > MAX_SOCKETS || swarms < 1 || each < 1) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct pollfd polls[MAX_SOCKETS];
  for (int s = 0; s < sockets; s++) {
    int size = 4 << 20;
    links[s].fd = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(links[s].fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (connect(links[s].fd, (struct sockaddr *)&to, sizeof to) != 0) fail("connect");
    polls[s] = (struct pollfd){.fd = links[s].fd, .events = POLLIN};
  }
  for (int i = 0; i < BATCH; i++) {
    out_iov[i] = (struct iovec){out[i], 0};
    in_iov[i] = (struct iovec){in[i], sizeof in[i]};
    out_msg[i].msg_hdr.msg_iov = &out_iov[i];
    in_msg[i].msg_hdr.msg_iov = &in_iov[i];
    out_msg[i].msg_hdr.msg_iovlen = in_msg[i].msg_hdr.msg_iovlen = 1;
  }
  uint64_t total = swarms * each, filled = 0, lost = 0, requests = 0;
  uint64_t begun = now_ns(CLOCK_MONOTONIC), counted = 0, cpu_begun = 0, own_begun = 0;
  unsigned share = window / sockets;
  for (;;) {
    uint64_t now = now_ns(CLOCK_MONOTONIC);
    if (counted == 0 && (fill || now - begun > 300000000ULL)) {
      counted = now;
      cpu_begun = now_ns(cpu);
      own_begun = now_ns(CLOCK_PROCESS_CPUTIME_ID);
      replies = errors = peers = bytes = announces = lost = requests = 0;
      memset(latencies, 0, sizeof latencies);
    }
    if (fill ? filled >= total : counted != 0 && now - counted > seconds * 1e9) break;
    int got = 0, sent_any = 0;
    for (int s = 0; s < sockets; s++) {
      struct link *link = &links[s];
      got += receive(link);
      unsigned room = share - link->in_flight, count = 0;
      int ready = link->connected_ns != 0;
      if (room > share) room = 0;
      if (room > BATCH) room = BATCH;
      if (ready && room < share / 4 && room < BATCH / 4) continue;
      while (count < room) {
        unsigned char *packet = out[count];
        if (!link->connecting && (!ready || now - link->connected_ns > RENEW_NS)) {
          out_iov[count].iov_len = write_connect(link, packet);
        } else if (!ready) {
          break;
        } else if (fill) {
          if (filled >= total) break;
          /* Peer by peer, so that a swarm grows as swarms do. */
          out_iov[count].iov_len = write_announce(link, packet, filled % swarms, filled / swarms, 0);
          filled++;
        } else if (transaction % 101 == 100) {
          out_iov[count].iov_len = write_scrape(link, packet, next_random() % swarms);
        } else {
          uint64_t random = next_random();
          out_iov[count].iov_len = write_announce(link, packet, (random >> 20) % swarms, random % each, wanted);
        }
        put32(packet + 12, (uint32_t)transaction);
        sent_ns[transaction++ % RING] = now;
        count++;
      }
      for (unsigned next = 0; next < count;) {
        int sent = sendmmsg(link->fd, out_msg + next, count - next, 0);
        if (sent < 0) {
          if (errno == EINTR || errno == ECONNREFUSED) continue;
          fail("sendmmsg");
        }
        next += sent;
      }
      link->in_flight += count;
      requests += count;
      sent_any |= count > 0;
    }
    if (got > 0 || sent_any) continue;
    if (poll(polls, sockets, fill ? 1000 : 250) == 0) {
      for (int s = 0; s < sockets; s++) {
        lost += links[s].in_flight;
        links[s].in_flight = 0;
        links[s].connecting = 0;
      }
    }
  }
  uint64_t ended = now_ns(CLOCK_MONOTONIC), cpu_ended = now_ns(cpu), own_ended = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  uint64_t all = 0, sum = 0, p50 = 0, p99 = 0;
  for (int i = 0; i < MICROSECONDS; i++) all += latencies[i];
  for (int i = 0; i < MICROSECONDS; i++) {
    sum += latencies[i];
    if (p50 == 0 && sum * 2 >= all) p50 = i;
    if (p99 == 0 && sum * 100 >= all * 99) p99 = i;
  }
  printf("{\"seconds\":%.6f,\"replies\":%lu,\"lost\":%lu,\"errors\":%lu,\"bad\":%lu,\"cpuNs\":%lu,\"ownNs\":%lu,"
         "\"peersPerAnnounce\":%.3f,\"bytes\":%lu,\"p50Us\":%lu,\"p99Us\":%lu,\"firstError\":\"%s\"}\n",
         (ended - counted) / 1e9, replies, lost, errors, bad, cpu_ended - cpu_begun, own_ended - own_begun,
         announces ? (double)peers / announces : 0.0, bytes, p50, p99, first_error);
  return 0;
}
