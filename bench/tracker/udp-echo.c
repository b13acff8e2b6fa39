/*
 * A UDP tracker that knows nothing: the limit for servers that take and send 64 datagrams a call on one core.
 *
 *     udp-echo PORT PEERS [THREADS]     answers every connect, and every other request with an announce reply of PEERS peers; each
 *                                       thread has a socket of its own of the one address
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64
#define MAX_THREADS 64

struct batch {
  int fd;
  unsigned reply;
  unsigned char in[BATCH][2048], out[BATCH][2048];
  struct sockaddr_in names[BATCH];
  struct iovec in_iov[BATCH], out_iov[BATCH];
  struct mmsghdr in_msg[BATCH], out_msg[BATCH];
};

static int open_socket(int port, int shared) {
  int size = 4 << 20, one = 1;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  if (shared) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0) {
    perror("bind");
    exit(1);
  }
  return fd;
}

_Noreturn static void serve(struct batch *b) {
  for (int i = 0; i < BATCH; i++) {
    b->in_iov[i] = (struct iovec){b->in[i], sizeof b->in[i]};
    b->out_iov[i] = (struct iovec){b->out[i], 0};
    b->in_msg[i].msg_hdr = (struct msghdr){.msg_name = &b->names[i], .msg_namelen = sizeof b->names[i], .msg_iov = &b->in_iov[i], .msg_iovlen = 1};
    b->out_msg[i].msg_hdr = (struct msghdr){.msg_name = &b->names[i], .msg_namelen = sizeof b->names[i], .msg_iov = &b->out_iov[i], .msg_iovlen = 1};
  }
  for (;;) {
    int count = recvmmsg(b->fd, b->in_msg, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < count; i++) {
      int connects = memcmp(b->in[i] + 8, "\0\0\0\0", 4) == 0;
      memcpy(b->out[i], b->in[i] + 8, 8);
      if (!connects) b->out[i][3] = 1;
      b->out_iov[i].iov_len = connects ? 16 : b->reply;
    }
    for (int next = 0; next < count;) {
      int sent = sendmmsg(b->fd, b->out_msg + next, count - next, 0);
      if (sent <= 0) break;
      next += sent;
    }
  }
}

static void *serve_thread(void *batch) {
  serve(batch);
}

int main(int argc, char **argv) {
  if (argc != 3 && argc != 4) return 2;
  int threads = argc == 4 ? atoi(argv[3]) : 1;
  if (threads < 1 || threads > MAX_THREADS) return 2;
  struct batch *batches[MAX_THREADS];
  for (int i = 0; i < threads; i++) {
    batches[i] = calloc(1, sizeof *batches[i]);
    if (batches[i] == NULL) return 1;
    batches[i]->fd = open_socket(atoi(argv[1]), threads > 1);
    batches[i]->reply = 20 + 6 * atoi(argv[2]);
  }
  puts("ready");
  fflush(stdout);
  for (int i = 1; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve_thread, batches[i]) != 0) return 1;
  }
  serve(batches[0]);
}
