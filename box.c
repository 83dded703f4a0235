/* box.c - giving up rights: the user, the view of the file system, and the
 * system calls that serving does not need.
 *
 * What was named by box_tree, box_again and box_log can still be opened after
 * box_enter; the descriptors that are open stay so.  A system that lacks a part
 * gets the rest and one warning, unless --sandbox=required. */
#include "sws.h"

#include <sys/stat.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#elif defined(__FreeBSD__)
#include <sys/capsicum.h>
#endif

/* ---- the user --------------------------------------------------------------- */

/* s as a numeric id; -1 when it is a name. */
static long
numeric(const char *s)
{
	char *end;
	long n;

	if (*s < '0' || *s > '9')
		return -1;
	errno = 0;
	n = strtol(s, &end, 10);
	return errno != 0 || *end != '\0' || n >= INT_MAX ? -1 : n;
}

/* Can we get root, or what we were, back?  Then something is very wrong. */
static void
verify(uid_t uid, gid_t gid)
{
	if (getuid() != uid || geteuid() != uid || getgid() != gid ||
	    getegid() != gid)
		die(1, "--user %s: the ids did not change", conf.user);
	if (uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
		die(1, "--user %s: root can be had back", conf.user);
	if (gid != 0 && uid != 0 && (setgid(0) == 0 || setegid(0) == 0))
		die(1, "--user %s: group 0 can be had back", conf.user);
}

void
box_drop(void)
{
	const struct passwd *pw = NULL;
	const struct group *gr = NULL;
	long n;
	uid_t uid = getuid();
	gid_t gid = getgid();
	bool change = false;

	/* names first: the files that know them may not be in the chroot */
	if (conf.user != NULL) {
		n = numeric(conf.user);
		pw = n >= 0 ? getpwuid((uid_t)n) : getpwnam(conf.user);
		if (n < 0 && pw == NULL)
			die(1, "--user %s: no such user", conf.user);
		uid = pw ? pw->pw_uid : (uid_t)n;
		if (pw == NULL && conf.group == NULL)
			die(1, "--user %s: no such user, so it needs --group",
			    conf.user);
		if (pw != NULL)
			gid = pw->pw_gid;
	}
	if (conf.group != NULL) {
		n = numeric(conf.group);
		gr = n >= 0 ? NULL : getgrnam(conf.group);
		if (n < 0 && gr == NULL)
			die(1, "--group %s: no such group", conf.group);
		gid = gr ? gr->gr_gid : (gid_t)n;
	}
	change = conf.user != NULL && (uid != getuid() || uid != geteuid() ||
	    gid != getgid() || gid != getegid());
	/* other groups of the user: the site may be readable through one */
	if (change && (pw != NULL ? initgroups(pw->pw_name, gid) :
	    setgroups(1, &gid)) < 0)
		die(1, "--user %s: %s (only root can become another user)",
		    conf.user, strerror(errno));
	if (conf.chroot != NULL &&
	    (chroot(conf.chroot) < 0 || chdir("/") < 0))
		die(1, "--chroot %s: %s", conf.chroot, strerror(errno));
	if (change && (setgid(gid) < 0 || setuid(uid) < 0))
		die(1, "--user %s: %s", conf.user, strerror(errno));
	if (conf.user != NULL)
		verify(uid, gid);
	if (conf.chroot != NULL && getuid() == 0)
		warn("--chroot without --user: root can leave it");
}

/* ---- names that are to be opened again --------------------------------------- */

#if defined(__linux__) || defined(__OpenBSD__)
/* dst = the folder of path; a folder right below / is left to its file, as a
 * certificate in /etc must not open all of /etc.  False then. */
static bool
folder_of(const char *path, char *dst, size_t cap)
{
	char real[PATH_MAX];
	char *slash;
	int n;

	n = snprintf(dst, cap, "%s", path);
	if (n < 0 || (size_t)n >= cap)
		return false;
	slash = strrchr(dst, '/');
	if (slash == NULL)
		snprintf(dst, cap, ".");
	else
		slash[slash == dst] = '\0';
	return realpath(dst, real) != NULL && strrchr(real, '/') != real;
}
#endif

#if defined(__linux__)

/* ---- Landlock ------------------------------------------------------------------ */

/* landlock(7), kernel 5.13 to 6.12, and the numbers that all our machines
 * share: the headers may be older than the kernel. */
enum {
	NR_CREATE_RULESET = 444, NR_ADD_RULE, NR_RESTRICT_SELF,
	CREATE_VERSION = 1, RULE_PATH_BENEATH = 1,
	FS_WRITE_FILE = 1 << 1, FS_READ_FILE = 1 << 2, FS_READ_DIR = 1 << 3,
	FS_MAKE_REG = 1 << 8,
	FS_ABI_1 = (1 << 13) - 1, FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14,
	FS_IOCTL_DEV = 1 << 15,
	NET_BIND_CONNECT = 3, SCOPE_ABSTRACT_SIGNAL = 3
};
struct ruleset {
	uint64_t fs, net, scoped;
};
struct beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

static int rules = -1;
static int abi;			/* 0 = not looked, -1 = there is none */

static bool
landlock(void)
{
	struct ruleset set = { FS_ABI_1, 0, 0 };
	size_t size = sizeof set.fs;

	if (abi != 0 || conf.sandbox == BOX_OFF)
		return rules >= 0;
	abi = (int)syscall(NR_CREATE_RULESET, NULL, 0, CREATE_VERSION);
	if (abi <= 0) {
		abi = -1;
		return false;
	}
	if (abi >= 2)
		set.fs |= FS_REFER;
	if (abi >= 3)
		set.fs |= FS_TRUNCATE;
	if (abi >= 4) {
		set.net = NET_BIND_CONNECT;
		size += sizeof set.net;
	}
	if (abi >= 5)
		set.fs |= FS_IOCTL_DEV;
	if (abi >= 6) {
		set.scoped = SCOPE_ABSTRACT_SIGNAL;
		size += sizeof set.scoped;
	}
	rules = (int)syscall(NR_CREATE_RULESET, &set, size, 0);
	if (rules >= 0)
		fcntl(rules, F_SETFD, FD_CLOEXEC);
	return rules >= 0;
}

/* Allow what stands at path, and all beneath it. */
static void
allow(const char *path, uint64_t rights)
{
	struct beneath b = { .allowed = rights };
	struct stat st;

	if (!landlock())
		return;
	b.fd = open(path, O_PATH | O_CLOEXEC);
	if (b.fd < 0)
		return;
	if (fstat(b.fd, &st) == 0 && !S_ISDIR(st.st_mode))
		b.allowed &= FS_READ_FILE | FS_WRITE_FILE;
	if (syscall(NR_ADD_RULE, rules, RULE_PATH_BENEATH, &b, 0) < 0)
		debug("sandbox: %s: %s", path, strerror(errno));
	close(b.fd);
}

void
box_tree(const char *dir)
{
	allow(dir, FS_READ_FILE | FS_READ_DIR);
}

/* A file that is replaced by rename has a new identity: the rule has to be the
 * folder's, and that of where a link leads (certbot's live/ to archive/). */
static void
again(const char *path, uint64_t file, uint64_t dir)
{
	char folder[PATH_MAX], real[PATH_MAX];
	struct stat st;

	allow(path, file);
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
	    !S_ISDIR(st.st_mode))
		return;		/* a terminal, whose folder has others */
	if (folder_of(path, folder, sizeof folder))
		allow(folder, dir);
	if (realpath(path, real) != NULL && folder_of(real, folder,
	    sizeof folder))
		allow(folder, dir);
}

void
box_again(const char *path)
{
	again(path, FS_READ_FILE | FS_READ_DIR, FS_READ_FILE | FS_READ_DIR);
}

void
box_log(const char *path)
{
	again(path, FS_WRITE_FILE, FS_WRITE_FILE | FS_MAKE_REG);
}

/* ---- seccomp --------------------------------------------------------------------- */

/* seccomp(2) and the instructions of its filter, as <linux/seccomp.h> and
 * <linux/filter.h> have them; a libc comes without those. */
enum { SET_MODE_FILTER = 1, SPEC_ALLOW = 4 };
#define KILL 0x80000000u
#define ERRNO(e) (0x00050000u | (e))
#define ALLOW 0x7fff0000u
enum { LOAD = 0x20, AND = 0x54, JUMP_EQUAL = 0x15, RETURN = 0x06 };
struct instruction {
	uint16_t code;
	uint8_t yes, no;	/* so many are left out after a JUMP */
	uint32_t k;
};
struct program {
	uint16_t n;
	struct instruction *first;
};
struct data {
	int32_t nr;
	uint32_t arch;
	uint64_t at, args[6];
};
/* where argument i is, its lower half first */
#define ARG(i) (offsetof(struct data, args) + (i) * sizeof(uint64_t))

/* AUDIT_ARCH_... of <linux/audit.h> */
#if defined(__x86_64__) && !defined(__ILP32__)
#define OUR_ARCH 0xc000003eu
#elif defined(__i386__)
#define OUR_ARCH 0x40000003u
#elif defined(__aarch64__) && defined(__AARCH64EL__) && !defined(__ILP32__)
#define OUR_ARCH 0xc00000b7u
#elif defined(__arm__) && defined(__ARMEL__)
#define OUR_ARCH 0x40000028u
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH 0xc00000f3u
#else
#define OUR_ARCH 0u
#endif

/* What a call's arguments have to be. */
enum test { ANY, OPEN, OPENAT, NOT_EXEC, FCNTL, IOCTL, CONNECTED, OPTION,
	SOCKETCALL };

/* glibc on i386 makes all calls for sockets by one, where the filter sees no
 * arguments. */
#if defined(SYS_socketcall) && defined(__GLIBC__)
#define UNSEEN 1
#endif

/* All that is left.  Two libcs and five machines do the same by different
 * calls; what one of them does not have is not counted there. */
static const struct call {
	int nr;
	enum test test;
} calls[] = {
	/* the loop */
	{ SYS_epoll_pwait, ANY }, { SYS_epoll_ctl, ANY },
	{ SYS_close, ANY }, { SYS_shutdown, ANY },
	{ SYS_rt_sigreturn, ANY }, { SYS_restart_syscall, ANY },
#ifdef SYS_sigreturn
	{ SYS_sigreturn, ANY },
#endif
#ifdef SYS_accept4
	{ SYS_accept4, ANY },
#endif
#ifdef SYS_recvfrom
	{ SYS_recvfrom, ANY }, { SYS_sendto, CONNECTED },
	{ SYS_getsockname, ANY }, { SYS_setsockopt, OPTION },
#endif
#ifdef SYS_recv
	{ SYS_recv, ANY },
#endif
#ifdef SYS_send
	{ SYS_send, ANY },
#endif
#ifdef UNSEEN
	{ SYS_socketcall, SOCKETCALL },
#endif
	{ SYS_writev, ANY },
#ifdef SYS_sendfile64
	{ SYS_sendfile64, ANY },
#else
	{ SYS_sendfile, ANY },
#endif
	/* files and folders */
	{ SYS_openat2, ANY }, { SYS_openat, OPENAT },
#ifdef SYS_open
	{ SYS_open, OPEN },
#endif
#ifdef SYS_newfstatat
	{ SYS_newfstatat, ANY },
#endif
#ifdef SYS_fstatat64
	{ SYS_fstatat64, ANY }, { SYS_fstat64, ANY }, { SYS_stat64, ANY },
#else
	{ SYS_fstat, ANY },
#ifdef SYS_stat
	{ SYS_stat, ANY },
#endif
#endif
	{ SYS_statx, ANY }, { SYS_readlinkat, ANY }, { SYS_getdents64, ANY },
	{ SYS_getcwd, ANY }, { SYS_read, ANY }, { SYS_pread64, ANY },
	/* the log */
	{ SYS_write, ANY }, { SYS_getpid, ANY },
#ifdef SYS_poll
	{ SYS_poll, ANY },
#else
	{ SYS_ppoll, ANY },
#endif
#ifdef SYS_fcntl64
	{ SYS_fcntl64, FCNTL },
#else
	{ SYS_fcntl, FCNTL },
#endif
	{ SYS_ioctl, IOCTL },	/* isatty(3) */
	/* time, chance, memory */
#ifdef SYS_clock_gettime
	{ SYS_clock_gettime, ANY },
#endif
#ifdef SYS_clock_gettime64
	{ SYS_clock_gettime64, ANY },
#endif
	{ SYS_getrandom, ANY },
#ifdef SYS_mmap2
	{ SYS_mmap2, NOT_EXEC },
#else
	{ SYS_mmap, NOT_EXEC },
#endif
	{ SYS_mprotect, NOT_EXEC }, { SYS_munmap, ANY }, { SYS_mremap, ANY },
	{ SYS_madvise, ANY }, { SYS_brk, ANY },
	{ SYS_sysinfo, ANY },	/* qsort(3) asks how much memory there is */
	{ SYS_rt_sigprocmask, ANY }, { SYS_exit_group, ANY },
};
enum { NCALLS = sizeof calls / sizeof calls[0], CALLS_MAX = 45 };
_Static_assert(NCALLS <= CALLS_MAX, "so many are allowed in the box");

static struct instruction prog[NCALLS * 9 + 8];
static uint16_t nprog;

static void
put(unsigned code, uint32_t k, unsigned yes, unsigned no)
{
	assert(nprog < sizeof prog / sizeof prog[0]);
	prog[nprog++] = (struct instruction){ (uint16_t)code, (uint8_t)yes,
	    (uint8_t)no, k };
}

static void
load(size_t off)
{
	put(LOAD, (uint32_t)off, 0, 0);
}

static void
verdict(uint32_t v)
{
	put(RETURN, v, 0, 0);
}

/* The call nr is allowed when argument i, as far as mask covers it, is one of
 * the n values. */
static void
one_of(int nr, unsigned i, uint32_t mask, const uint32_t *v, unsigned n,
    uint32_t otherwise)
{
	unsigned k;

	put(JUMP_EQUAL, (uint32_t)nr, 0, n + 4);
	load(ARG(i));
	put(AND, mask, 0, 0);
	for (k = 0; k < n; k++)
		put(JUMP_EQUAL, v[k], n - k, 0);
	verdict(otherwise);
	verdict(ALLOW);
}

/* sendto(2) as send(2): the address, whose upper half counts too, is NULL. */
static void
unaddressed(int nr, uint32_t otherwise)
{
	put(JUMP_EQUAL, (uint32_t)nr, 0, 6);
	load(ARG(4));
	put(JUMP_EQUAL, 0, 0, 2);
	load(ARG(4) + sizeof(uint32_t));
	put(JUMP_EQUAL, 0, 1, 0);
	verdict(otherwise);
	verdict(ALLOW);
}

/* setsockopt(2) as conn.c and fd.c use it. */
static void
options(int nr, uint32_t otherwise)
{
	put(JUMP_EQUAL, (uint32_t)nr, 0, 9);
	load(ARG(1));
	put(JUMP_EQUAL, SOL_SOCKET, 0, 2);
	load(ARG(2));
	put(JUMP_EQUAL, SO_LINGER, 4, 3);
	put(JUMP_EQUAL, IPPROTO_TCP, 0, 2);
	load(ARG(2));
	put(JUMP_EQUAL, TCP_NODELAY, 1, 0);
	verdict(otherwise);
	verdict(ALLOW);
}

static void
permit(const struct call *c, uint32_t otherwise)
{
	/* read only, or exactly as log.c does it; musl has O_PATH in its
	 * O_ACCMODE */
	static const uint32_t modes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC |
	    O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
	static const uint32_t log[] = { O_RDONLY,
	    O_WRONLY | O_CREAT | O_APPEND };
	static const uint32_t none[] = { 0 };
	static const uint32_t commands[] = { F_GETFD, F_SETFD, F_GETFL,
	    F_DUPFD_CLOEXEC };
	static const uint32_t terminal[] = { TCGETS, TIOCGWINSZ, 0x802c542a };
	/* getsockname, send, recv, sendto, recvfrom, shutdown, setsockopt,
	 * accept4 of <linux/net.h>, whose arguments cannot be seen */
	static const uint32_t sockets[] = { 6, 9, 10, 11, 12, 13, 14, 18 };
	unsigned nlog = conf.log_file != NULL ? 2 : 1;

	switch (c->test) {
	case ANY:
		put(JUMP_EQUAL, (uint32_t)c->nr, 0, 1);
		/* without Landlock nobody sees that call's flags */
		verdict(c->nr == SYS_openat2 && rules < 0 ?
		    ERRNO(ENOSYS) : ALLOW);
		break;
	case OPEN:
	case OPENAT:
		one_of(c->nr, c->test == OPEN ? 1 : 2, modes, log, nlog,
		    otherwise);
		break;
	case NOT_EXEC:
		one_of(c->nr, 2, 4, none, 1, otherwise);	/* PROT_EXEC */
		break;
	case FCNTL:
		one_of(c->nr, 1, UINT32_MAX, commands, 4, otherwise);
		break;
	case IOCTL:
		one_of(c->nr, 1, UINT32_MAX, terminal, 3, otherwise);
		break;
	case CONNECTED:
		unaddressed(c->nr, otherwise);
		break;
	case OPTION:
		options(c->nr, otherwise);
		break;
	case SOCKETCALL:
		one_of(c->nr, 0, UINT32_MAX, sockets, 8, otherwise);
		break;
	}
}

/* Allow the calls of the table.  Any other one is ENOSYS, which lets a libc
 * that we have not met take an older way, or the end under `kill`. */
static int
seccomp(bool kill)
{
	uint32_t no = kill ? KILL : ERRNO(ENOSYS);
	struct program p = { .first = prog };
	unsigned i;

	nprog = 0;
	load(offsetof(struct data, arch));
	put(JUMP_EQUAL, OUR_ARCH, 1, 0);
	verdict(KILL);
	load(offsetof(struct data, nr));
	for (i = 0; i < NCALLS; i++)
		permit(&calls[i], kill ? no : ERRNO(EPERM));
	verdict(no);
	p.n = nprog;
	/* Linux before 5.16 makes a process with a filter slow for fear of code
	 * from strangers, of which there is none here */
	if (syscall(SYS_seccomp, SET_MODE_FILTER, SPEC_ALLOW, &p) == 0)
		return 0;
	return (int)syscall(SYS_seccomp, SET_MODE_FILTER, 0, &p);
}

/* ---- all of it -------------------------------------------------------------------- */

/* Sanitizers do what no table here foresees. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZER 1
#endif
#endif
#ifndef SANITIZER
#define SANITIZER 0
#endif

void
box_enter(void)
{
	const bool required = conf.sandbox == BOX_REQUIRED;
	const char *no_landlock = "", *no_openat2 = "", *no_seccomp = "";

	if (conf.sandbox == BOX_OFF)
		return;
	if (SANITIZER) {
		if (required)
			die(1, "--sandbox required: not with a sanitizer");
		debug("sandbox: off, with a sanitizer");
		if (rules >= 0)
			close(rules);
		rules = -1;
		return;
	}
	/* no core file with our keys, no debugger of our user's */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* a filter that we are in already, as that of RestrictSUIDSGID= in
	 * systemd.exec(5), can keep it from us: somebody wanted that */
	if (syscall(SYS_openat2, -1, "", NULL, 0) < 0 && errno == ENOSYS &&
	    prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0)
		no_openat2 = " openat2";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die(1, "no_new_privs: %s", strerror(errno));
	if (!landlock() || syscall(NR_RESTRICT_SELF, rules, 0) < 0) {
		if (rules >= 0)
			close(rules);
		rules = -1;
		no_landlock = " Landlock";
	}
	if (required && (*no_landlock || *no_openat2))
		die(1, "--sandbox required: this system has no%s%s",
		    no_landlock, no_openat2);
	if (OUR_ARCH == 0 || seccomp(required) < 0)
		no_seccomp = " seccomp";
	if (required && *no_seccomp)
		die(1, "--sandbox required: this system has no%s", no_seccomp);
	if (*no_landlock || *no_openat2 || *no_seccomp)
		warn("sandbox: this system has no%s%s%s", no_landlock,
		    no_openat2, no_seccomp);
	debug("sandbox: Landlock ABI %d, %u calls", abi, (unsigned)NCALLS);
	if (rules >= 0)
		close(rules);
}

#elif defined(__OpenBSD__)

static void
allow(const char *path, const char *rights)
{
	if (conf.sandbox != BOX_OFF && unveil(path, rights) < 0)
		debug("sandbox: %s: %s", path, strerror(errno));
}

/* unveil(2) goes by name, so what is replaced there is seen. */
static void
again(const char *path, const char *rights)
{
	char real[PATH_MAX], folder[PATH_MAX];

	allow(path, rights);
	if (realpath(path, real) != NULL && folder_of(real, folder,
	    sizeof folder))
		allow(folder, rights);
}

void
box_tree(const char *dir)
{
	allow(dir, "r");
}

void
box_again(const char *path)
{
	again(path, "r");
}

void
box_log(const char *path)
{
	again(path, "wc");
}

void
box_enter(void)
{
	if (conf.sandbox != BOX_OFF && pledge(conf.log_file != NULL ?
	    "stdio rpath wpath cpath inet unix" : "stdio rpath inet unix",
	    NULL) < 0)
		die(1, "pledge: %s", strerror(errno));
}

#else

void
box_tree(const char *dir)
{
	(void)dir;
}

void
box_again(const char *path)
{
	(void)path;
}

void
box_log(const char *path)
{
	(void)path;
}

#if defined(__FreeBSD__)
/* cap_enter(2) ends all opening by path, so SIGHUP could read no certificate
 * and open no log: it is for those who ask for it and use SIGUSR2 instead. */
void
box_enter(void)
{
	cap_rights_t output;

	if (conf.sandbox == BOX_OFF)
		return;
	cap_rights_init(&output, CAP_WRITE, CAP_FSTAT, CAP_EVENT, CAP_FCNTL,
	    CAP_IOCTL);
	if (cap_rights_limit(1, &output) < 0 ||
	    cap_rights_limit(2, &output) < 0)
		debug("sandbox: cap_rights_limit: %s", strerror(errno));
	if (conf.sandbox == BOX_REQUIRED && cap_enter() < 0)
		die(1, "--sandbox required: cap_enter: %s", strerror(errno));
}

#else
void
box_enter(void)
{
	if (conf.sandbox == BOX_REQUIRED)
		die(1, "--sandbox required: this system has none");
}
#endif
#endif
