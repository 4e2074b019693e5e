/* Preloaded into servers that have no option to bind one address: what they would
   bind on every interface is bound on 127.0.0.1 (or ::1 for an IPv6-only socket). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

typedef int (*bind_function)(int, const struct sockaddr *, socklen_t);

int bind(int socket, const struct sockaddr *address, socklen_t size)
{
	bind_function next = (bind_function)dlsym(RTLD_NEXT, "bind");

	if (address && address->sa_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
		struct sockaddr_in local;
		memcpy(&local, address, sizeof local);
		if (local.sin_addr.s_addr == htonl(INADDR_ANY))
			local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return next(socket, (struct sockaddr *)&local, sizeof local);
	}
	if (address && address->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
		struct sockaddr_in6 local;
		int only = 0;
		socklen_t only_size = sizeof only;
		memcpy(&local, address, sizeof local);
		if (IN6_IS_ADDR_UNSPECIFIED(&local.sin6_addr)) {
			getsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &only, &only_size);
			local.sin6_addr = in6addr_loopback;
			if (!only) { /* a dual-stack socket: ::ffff:127.0.0.1 */
				memset(&local.sin6_addr, 0, 10);
				memset((unsigned char *)&local.sin6_addr + 10, 0xff, 2);
				memcpy((unsigned char *)&local.sin6_addr + 12, "\x7f\0\0\1", 4);
			}
		}
		return next(socket, (struct sockaddr *)&local, sizeof local);
	}
	return next(socket, address, size);
}
