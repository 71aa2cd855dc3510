/* A PKCS#11 module between a program and a real module, for tests.
 *
 * It knows the order of CK_FUNCTION_LIST (PKCS#11 2.40) and forwards everything to
 * the module named by NFCERTD_SHIM_MODULE. In the directory NFCERTD_SHIM_DIR
 *   hang-login, hang-sign   while the file exists, C_Login or C_Sign does not return
 *   die-login               while the file exists, C_Login ends the process
 *   logins                  gets one octet for every C_Login that reaches the module
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long rv_t;
typedef rv_t (*function_t)(void);
typedef rv_t (*login_t)(unsigned long, unsigned long, unsigned char *, unsigned long);
typedef rv_t (*sign_t)(unsigned long, unsigned char *, unsigned long,
                       unsigned char *, unsigned long *);

enum { GET_FUNCTION_LIST = 3, LOGIN = 18, SIGN = 43, COUNT = 68 };
enum { CKR_GENERAL_ERROR = 5 };

struct list {
    unsigned char version[2];
    function_t call[COUNT];
};

static struct list *real;
static struct list ours;

static void path_of(char *path, size_t size, const char *name)
{
    const char *directory = getenv("NFCERTD_SHIM_DIR");
    snprintf(path, size, "%s/%s", directory ? directory : ".", name);
}

static int present(const char *name)
{
    char path[4096];
    path_of(path, sizeof path, name);
    return access(path, F_OK) == 0;
}

static void hang_while(const char *name)
{
    const struct timespec pause = { .tv_sec = 0, .tv_nsec = 5000000 };
    while (present(name))
        nanosleep(&pause, NULL);
}

static void count_login(void)
{
    char path[4096];
    path_of(path, sizeof path, "logins");
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file >= 0) {
        if (write(file, "L", 1) != 1)
            abort();
        close(file);
    }
}

static rv_t shim_login(unsigned long session, unsigned long user,
                       unsigned char *pin, unsigned long length)
{
    count_login();
    if (present("die-login"))
        _exit(9);
    hang_while("hang-login");
    return ((login_t)real->call[LOGIN])(session, user, pin, length);
}

static rv_t shim_sign(unsigned long session, unsigned char *data, unsigned long size,
                      unsigned char *signature, unsigned long *length)
{
    hang_while("hang-sign");
    return ((sign_t)real->call[SIGN])(session, data, size, signature, length);
}

rv_t C_GetFunctionList(struct list **out)
{
    if (!real) {
        const char *name = getenv("NFCERTD_SHIM_MODULE");
        void *module = name ? dlopen(name, RTLD_NOW | RTLD_LOCAL) : NULL;
        rv_t (*get)(struct list **) = NULL;
        if (module)
            *(void **)&get = dlsym(module, "C_GetFunctionList");
        if (!get || get(&real) != 0)
            return CKR_GENERAL_ERROR;
        memcpy(&ours, real, sizeof ours);
        ours.call[GET_FUNCTION_LIST] = (function_t)C_GetFunctionList;
        ours.call[LOGIN] = (function_t)shim_login;
        ours.call[SIGN] = (function_t)shim_sign;
    }
    *out = &ours;
    return 0;
}
