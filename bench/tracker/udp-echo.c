/*
 * A UDP tracker that knows nothing: the limit for servers that take and send 64 datagrams a call on one core.
 *
 *     udp-echo PORT PEERS     answers every connect, and every other request with an announce reply of PEERS peers
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64

static unsigned char in[BATCH][2048], out[BATCH][2048];
static struct sockaddr_in names[BATCH];
static struct iovec in_iov[BATCH], out_iov[BATCH];
static struct mmsghdr in_msg[BATCH], out_msg[BATCH];

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  unsigned reply = 20 + 6 * atoi(argv[2]);
  int size = 4 << 20;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0) {
    perror("bind");
    return 1;
  }
  for (int i = 0; i < BATCH; i++) {
    in_iov[i] = (struct iovec){in[i], sizeof in[i]};
    out_iov[i] = (struct iovec){out[i], 0};
    in_msg[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &in_iov[i], .msg_iovlen = 1};
    out_msg[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &out_iov[i], .msg_iovlen = 1};
  }
  puts("ready");
  fflush(stdout);
  for (;;) {
    int count = recvmmsg(fd, in_msg, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < count; i++) {
      int connects = memcmp(in[i] + 8, "\0\0\0\0", 4) == 0;
      memcpy(out[i], in[i] + 8, 8);
      if (!connects) out[i][3] = 1;
      out_iov[i].iov_len = connects ? 16 : reply;
    }
    for (int next = 0; next < count;) {
      int sent = sendmmsg(fd, out_msg + next, count - next, 0);
      if (sent <= 0) break;
      next += sent;
    }
  }
}
