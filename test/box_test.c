/* box_test.c - what can and cannot be done in the box, each thing tried in a
 * child of its own: without a box, where it has to work, so that the try is
 * known to be one; in the box of --sandbox=auto, where it has to fail; and in
 * that of --sandbox=required, where it has to fail or to end the child.
 *
 *	box_test FOLDER		an empty one, to be filled */
#include "../box.c"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>

struct conf conf;

static const char *top;
static char root[PATH_MAX], out[PATH_MAX], pem[PATH_MAX], old[PATH_MAX],
    logname[PATH_MAX], inside[PATH_MAX];
static int rootfd, udp, tcp, spare, listening, terminal, pipes[2];
static struct sockaddr_in port;

static const char *
path(char *dst, const char *dir, const char *name)
{
	snprintf(dst, PATH_MAX, "%.2000s/%s", dir, name);
	return dst;
}

static void
make(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0) {
		printf("FAIL %s: %s\n", name, strerror(errno));
		exit(1);
	}
	close(fd);
}

/* 0, or errno */
static int
outcome(long n)
{
	return n < 0 ? errno : 0;
}

static int
opens(const char *name, int flags)
{
	int fd = open(name, flags, 0644);

	if (fd >= 0)
		close(fd);
	return outcome(fd);
}

#ifdef SYS_mmap2
#define MMAP SYS_mmap2
#else
#define MMAP SYS_mmap
#endif

/* ---- what must not be ----------------------------------------------------- */

static int read_passwd(void) { return opens("/etc/passwd", O_RDONLY); }
static int read_beside(void) { return opens(out, O_RDONLY); }
static int read_memory(void) { return opens("/proc/self/mem", O_RDONLY); }
static int read_dir(void) { return opens("/etc", O_RDONLY | O_DIRECTORY); }
static int write_inside(void) { return opens(inside, O_WRONLY); }
static int update_inside(void) { return opens(inside, O_RDWR); }
static int truncate_inside(void) { return opens(inside, O_RDONLY | O_TRUNC); }
static int append_inside(void) { return opens(inside, O_WRONLY | O_APPEND); }
static int unlink_inside(void) { return outcome(unlink(inside)); }
static int chmod_inside(void) { return outcome(chmod(inside, 0600)); }
static int write_key(void) { return opens(pem, O_WRONLY); }

static int
create_inside(void)
{
	char name[PATH_MAX];

	return opens(path(name, root, "new"), O_WRONLY | O_CREAT | O_APPEND);
}

static int
create_by_openat2(void)
{
	uint64_t how[3] = { O_WRONLY | O_CREAT, 0644, 0 };

	return outcome(syscall(SYS_openat2, rootfd, "new2", how, sizeof how));
}

static int
rename_inside(void)
{
	char name[PATH_MAX];

	return outcome(rename(inside, path(name, root, "renamed")));
}

static int
make_dir(void)
{
	char name[PATH_MAX];

	return outcome(mkdir(path(name, root, "dir"), 0755));
}

static int
make_link(void)
{
	char name[PATH_MAX];

	return outcome(symlink("/etc/passwd", path(name, root, "link")));
}

static int socket_inet(void) { return outcome(socket(AF_INET, SOCK_STREAM, 0)); }
static int socket_unix(void) { return outcome(socket(AF_UNIX, SOCK_DGRAM, 0)); }

static int
connects(void)
{
	return outcome(connect(tcp, (struct sockaddr *)&port, sizeof port));
}

static int
binds(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET };

	return outcome(bind(tcp, (struct sockaddr *)&any, sizeof any));
}

static int
sends_to(void)
{
	return outcome(sendto(udp, "x", 1, 0, (struct sockaddr *)&port,
	    sizeof port));
}

/* The same by a call whose address the filter could not see. */
static int
sends_message_to(void)
{
	char b[] = "x";
	struct iovec v = { b, 1 };
	struct msghdr m = { .msg_name = &port, .msg_namelen = sizeof port,
	    .msg_iov = &v, .msg_iovlen = 1 };

	return outcome(sendmsg(udp, &m, 0));
}

static int
executes(void)
{
	static char name[] = "/bin/true";
	char *argv[] = { name, NULL };

	execv(name, argv);
	return errno;
}

static int
forks(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return outcome(pid);
}

static int
unshares(void)
{
	return outcome(syscall(SYS_unshare, 0x400));	/* CLONE_FILES */
}

static int traces(void) { return outcome(ptrace(PTRACE_TRACEME, 0, 0, 0)); }
static int kills(void) { return outcome(kill(getppid(), 0)); }

static int
maps_code(void)
{
	/* musl says ENOMEM for what the kernel said */
	return (void *)syscall(MMAP, NULL, 4096, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}

static int
makes_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE |
	    MAP_ANONYMOUS, -1, 0);

	return outcome(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int owns(void) { return outcome(fcntl(tcp, F_SETOWN, getpid())); }
static int signals(void) { return outcome(fcntl(tcp, F_SETFL, O_ASYNC)); }
static int leases(void) { return outcome(fcntl(rootfd, F_NOTIFY, 1)); }
static int ids(void) { return outcome(setgid(getgid())); }
static int duplicates(void) { return outcome(dup2(rootfd, spare)); }

static int
asks_pending(void)
{
	int n;

	return outcome(ioctl(pipes[0], FIONREAD, &n));
}

static int
sets_option(void)
{
	int n = 65536;

	return outcome(setsockopt(tcp, SOL_SOCKET, SO_RCVBUF, &n, sizeof n));
}

/* Its number is SO_LINGER's, on another level. */
static int
sets_other_level(void)
{
	int n = 1;

	return outcome(setsockopt(tcp, IPPROTO_IP, SO_LINGER, &n, sizeof n));
}

/* A byte for the reader of a terminal, who takes it for typed. */
static int
types(void)
{
	return outcome(ioctl(terminal, TIOCSTI, "x"));
}

static int
receives_message(void)
{
	char b[1];
	struct iovec v = { b, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	return recvmsg(udp, &m, MSG_DONTWAIT) < 0 && errno != EAGAIN ? errno :
	    0;
}

static int
another_personality(void)
{
	return outcome(syscall(SYS_personality, 0xffffffff));
}

static int
ring(void)
{
	char params[256] = "";

	return outcome(syscall(425, 1, params));	/* io_uring_setup */
}

static int
memory_file(void)
{
	return outcome(syscall(SYS_memfd_create, "x", 0));
}

static int
program_of_kernel(void)
{
	char none[128] = "";

	return outcome(syscall(SYS_bpf, 0, none, sizeof none)) == EINVAL ? 0 :
	    errno;
}

/* A name is enough for O_PATH; the file must not come of it. */
static int
reads_by_descriptor(void)
{
	char name[64];
	int fd = open(out, O_PATH);

	if (fd < 0)
		return errno;
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	return opens(name, O_RDONLY);
}

static int
makes_nameless(void)
{
	return opens(root, O_TMPFILE | O_RDWR);
}

static int
truncates_log(void)
{
	uint64_t how[3] = { O_WRONLY | O_TRUNC, 0, 0 };

	return outcome(syscall(SYS_openat2, AT_FDCWD, logname, how,
	    sizeof how));
}

static int
reads_other(void)
{
	char a[4], b[4] = "";
	struct iovec x = { a, sizeof a }, y = { b, sizeof b };

	return outcome(process_vm_readv(getpid(), &x, 1, &y, 1, 0));
}

static int
dumps(void)
{
	return outcome(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

#if defined(__x86_64__)
/* getpid by the other table of numbers */
static int
other_table(void)
{
	long n = 20;

	__asm__ volatile ("int $0x80" : "+a"(n) : : "memory");
	return n > 0 ? 0 : (int)-n;
}

/* and by x32's */
static int
third_table(void)
{
	return outcome(syscall(SYS_socket | 0x40000000, AF_INET, SOCK_STREAM,
	    0));
}
#endif

static const struct try {
	const char *name;
	int (*f)(void);
	bool odd;	/* also without a box it may fail, where the kernel
			 * was made without it */
} denied[] = {
	{ "read /etc/passwd", read_passwd, false },
	{ "read a file beside the root", read_beside, false },
	{ "read our own memory as a file", read_memory, false },
	{ "read one by its descriptor's name", reads_by_descriptor, false },
	{ "read a folder outside", read_dir, false },
	{ "write a file below the root", write_inside, false },
	{ "update it", update_inside, false },
	{ "truncate it", truncate_inside, false },
	{ "append to it", append_inside, false },
	{ "chmod it", chmod_inside, false },
	{ "create one", create_inside, false },
	{ "create one by openat2", create_by_openat2, true },
	{ "create one without a name", makes_nameless, true },
	{ "truncate the log", truncates_log, true },
	{ "rename it", rename_inside, false },
	{ "unlink it", unlink_inside, false },
	{ "make a folder", make_dir, false },
	{ "make a link", make_link, false },
	{ "write a key", write_key, false },
	{ "socket(AF_INET)", socket_inet, false },
	{ "socket(AF_UNIX)", socket_unix, false },
	{ "connect", connects, false },
	{ "bind", binds, false },
	{ "sendto with an address", sends_to, false },
	{ "sendmsg with an address", sends_message_to, false },
	{ "recvmsg", receives_message, false },
	{ "execve", executes, false },
	{ "fork", forks, false },
	{ "unshare", unshares, false },
	{ "ptrace", traces, false },
	{ "kill", kills, false },
	{ "mmap code", maps_code, false },
	{ "mprotect to code", makes_code, false },
	{ "fcntl(F_SETOWN)", owns, false },
	{ "fcntl(F_SETFL, O_ASYNC)", signals, false },
	{ "fcntl(F_NOTIFY)", leases, false },
	{ "setgid", ids, false },
	{ "dup2", duplicates, false },
	{ "another ioctl", asks_pending, false },
	{ "another setsockopt", sets_option, false },
	{ "its number on another level", sets_other_level, false },
	{ "ioctl(TIOCSTI)", types, true },
	{ "process_vm_readv", reads_other, true },
	{ "personality", another_personality, false },
	{ "io_uring_setup", ring, true },
	{ "memfd_create", memory_file, false },
	{ "bpf", program_of_kernel, true },
	{ "prctl", dumps, false },
#if defined(__x86_64__)
	{ "int $0x80", other_table, true },
	{ "x32's socket", third_table, true },
#endif
};

/* Does the filter see what this one does? */
static bool
seen(const struct try *t)
{
#ifdef UNSEEN
	return t->f != sends_to && t->f != sets_option &&
	    t->f != sets_other_level;
#else
	(void)t;
	return true;
#endif
}

/* ---- what has to be ------------------------------------------------------- */

static int
beneath(void)
{
	uint64_t how[3] = { O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0x08 };
	char b[8];
	int fd = (int)syscall(SYS_openat2, rootfd, "file", how, sizeof how);

	if (fd < 0 && errno == ENOSYS)
		fd = openat(rootfd, "file", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 || read(fd, b, 6) != 6 ? errno : memcmp(b, "inside", 6);
}

static int
step(void)
{
	struct stat st;
	int fd = openat(rootfd, "file", O_RDONLY | O_NONBLOCK | O_NOFOLLOW |
	    O_CLOEXEC), dir = openat(rootfd, ".", O_PATH | O_DIRECTORY);

	return fd < 0 || dir < 0 || fstat(fd, &st) < 0 ? errno :
	    outcome(fstatat(rootfd, "file", &st, AT_SYMLINK_NOFOLLOW));
}

static int
list(void)
{
	DIR *d = fdopendir(openat(rootfd, ".", O_RDONLY | O_DIRECTORY));
	unsigned n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	return d == NULL ? errno : n < 3;
}

static int
serve(void)
{
	struct linger now = { 1, 0 };
	struct epoll_event ev = { .events = EPOLLIN };
	char b[8];
	int one = 1;
	off_t off = 0;
	int q = spare, c, f = openat(rootfd, "file", O_RDONLY);
	struct iovec v[2] = { { b, 1 }, { b, 1 } };

	if (epoll_ctl(q, EPOLL_CTL_ADD, listening, &ev) < 0 ||
	    epoll_pwait(q, &ev, 1, 1000, NULL) != 1)
		return errno;
	c = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (c < 0 || setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) || recv(c, b, 5, 0) != 5 || send(c, b, 5, MSG_NOSIGNAL) != 5 ||
	    writev(c, v, 2) != 2 ||
	    sendfile(c, f, &off, 6) != 6 || shutdown(c, SHUT_WR) < 0 ||
	    setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof now) < 0)
		return errno;
	return outcome(close(c));
}

static int
pread_and_dup(void)
{
	char b[6];
	int f = openat(rootfd, "file", O_RDONLY);

	if (pread(f, b, 6, 0) != 6)
		return errno;
	return outcome(fcntl(f, F_DUPFD_CLOEXEC, 3));
}

static int
clock_and_chance(void)
{
	struct timespec t;
	char b[16];

	if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
		return errno;
	return syscall(SYS_getrandom, b, sizeof b, 0) == sizeof b ? 0 : errno;
}

static int
memory(void)
{
	size_t n;
	char *p = NULL, *q;

	for (n = 64; n < 64 << 20; n *= 3) {
		q = realloc(p, n);
		if (q == NULL)
			return ENOMEM;
		p = q;
		p[n - 1] = 1;
	}
	free(p);
	return 0;
}

/* As SIGHUP after a log was moved away. */
static int
new_log(void)
{
	return log_open(conf.log_file) < 0 ? errno : 0;
}

/* A key that was replaced by rename while we were in the box. */
static int
new_key(void)
{
	char b[4];
	int fd;

	if (write(pipes[1], "x", 1) != 1 || recv(udp, b, 1, 0) != 1)
		return errno;
	fd = open(pem, O_RDONLY);
	return fd < 0 || read(fd, b, 3) != 3 ? errno : memcmp(b, "new", 3);
}

/* By a link to another folder, which was named by the link that led there. */
static int
linked_key(void)
{
	char name[PATH_MAX];

	return opens(path(name, top, "live/pem"), O_RDONLY);
}

static const struct try allowed[] = {
	{ "open beneath the root", beneath, false },
	{ "open step by step", step, false },
	{ "list a folder", list, false },
	{ "accept and answer", serve, false },
	{ "pread, F_DUPFD", pread_and_dup, false },
	{ "time and chance", clock_and_chance, false },
	{ "64 MiB of memory", memory, false },
	{ "the log, opened anew", new_log, false },
	{ "a key that was replaced", new_key, false },
	{ "a key behind a link", linked_key, false },
};

/* ---- the children ----------------------------------------------------------- */

static void
enter(unsigned how)
{
	char name[PATH_MAX];

	conf.sandbox = how;
	conf.log_file = logname;
	box_tree(root);
	box_again(pem);
	box_again(path(name, top, "live/pem"));
	box_log(logname);
	box_enter();
}

/* The child's status: 0 the try worked, 1..199 errno, 200 + a signal. */
static int
in_child(const struct try *t, unsigned how)
{
	pid_t pid;
	int status;

	make(inside, "inside");
	make(out, "outside");
	close(tcp);
	tcp = socket(AF_INET, SOCK_DGRAM, 0);	/* connect asks nobody */
	close(spare);
	spare = epoll_create1(EPOLL_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		enter(how);
		status = t->f();
		_exit(status < 0 || status > 199 ? 199 : status);
	}
	if (t->f == new_key) {
		char b, name[PATH_MAX];

		if (read(pipes[0], &b, 1) == 1) {
			make(path(name, top, "keys/next"), "new");
			rename(name, pem);
			sendto(udp, "x", 1, 0, (struct sockaddr *)&port,
			    sizeof port);
		}
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	    200 + WTERMSIG(status);
}

/* A client of the listener, that has sent five bytes. */
static int
client(void)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	int c = socket(AF_INET, SOCK_STREAM, 0);

	getsockname(listening, (struct sockaddr *)&sa, &len);
	if (connect(c, (struct sockaddr *)&sa, len) < 0 ||
	    send(c, "hello", 5, 0) != 5)
		printf("FAIL client: %s\n", strerror(errno));
	return c;
}

static void
report(const char *how, const char *name, bool good, int got)
{
	if (good)
		printf("ok %s: %s\n", how, name);
	else if (got >= 200)
		printf("FAIL %s: %s: signal %d\n", how, name, got - 200);
	else
		printf("FAIL %s: %s: %s\n", how, name, got == 0 ? "works" :
		    strerror(got));
}

static void
prepare(void)
{
	char name[PATH_MAX];
	socklen_t len = sizeof port;

	path(root, top, "root");
	mkdir(root, 0755);
	path(inside, root, "file");
	path(out, top, "outside");
	path(name, top, "keys");
	mkdir(name, 0755);
	path(pem, name, "pem");
	make(pem, "old");
	path(name, top, "archive");
	mkdir(name, 0755);
	path(old, name, "pem1");
	make(old, "old");
	path(name, top, "live");
	mkdir(name, 0755);
	path(name, top, "live/pem");
	if (symlink("../archive/pem1", name) < 0)
		printf("FAIL symlink: %s\n", strerror(errno));
	path(name, top, "log");
	mkdir(name, 0755);
	path(logname, name, "access");
	rootfd = open(root, O_RDONLY | O_DIRECTORY);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	port.sin_family = AF_INET;
	port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bind(udp, (struct sockaddr *)&port, sizeof port);
	getsockname(udp, (struct sockaddr *)&port, &len);
	terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	make(logname, "");
	tcp = spare = -1;
	listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (pipe(pipes) < 0 || listen(listening, 5) < 0)
		printf("FAIL prepare: %s\n", strerror(errno));
}

/* Is there a box on this system at all?  Prints why not. */
static bool
possible(void)
{
	static const struct try nothing = { "nothing", clock_and_chance,
	    false };

	return in_child(&nothing, BOX_REQUIRED) == 0;
}

int
main(int argc, char **argv)
{
	static const char *const name[] = { "auto", "required", "off" };
	unsigned how, i;
	int got, c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 2)
		return 2;
	top = argv[1];
	prepare();
	if (!possible()) {
		printf("skip the box: this system has not all of it\n");
		return 0;
	}
	for (how = BOX_AUTO; how <= BOX_OFF; how++) {
		for (i = 0; i < sizeof denied / sizeof denied[0]; i++) {
			const struct try *t = &denied[i];

			if (t->f == truncates_log && syscall(
			    NR_CREATE_RULESET, NULL, 0, CREATE_VERSION) < 3) {
				printf("skip %s: %s: Landlock before 6.2\n",
				    name[how], t->name);
				continue;
			}
			if (!seen(t)) {
				printf("skip %s: %s: unseen by a filter\n",
				    name[how], t->name);
				continue;
			}
			got = in_child(t, how);
			if (how == BOX_OFF && got != 0 && t->odd)
				printf("skip off: %s: not on this system\n",
				    t->name);
			else if (how == BOX_OFF)
				report("off", t->name, got == 0, got);
			else
				report(name[how], t->name, got == EPERM ||
				    got == EACCES || got == ENOSYS ||
				    got == 200 + SIGSYS, got);
		}
		for (i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
			c = allowed[i].f == serve ? client() : -1;
			got = in_child(&allowed[i], how);
			report(name[how], allowed[i].name, got == 0, got);
			if (c >= 0)
				close(c);
		}
	}
	return 0;
}
