/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into the unit tests of a -Db_sanitize=thread build only. GLib's mutexes are futexes inside
 * a library that is not instrumented, so ThreadSanitizer does not see that they order anything.
 * These definitions take the place of GLib's for our own code and tell it. */
#include <glib.h>

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

static void
before_unlock(GMutex *mutex)
{
    (void)__tsan_mutex_pre_unlock(mutex, 0);
    __tsan_mutex_post_unlock(mutex, 0);
}

static void
after_lock(GMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

void
g_mutex_init(GMutex *mutex)
{
    REAL(g_mutex_init)(mutex);
    __tsan_mutex_create(mutex, __tsan_mutex_not_static);
}

void
g_mutex_clear(GMutex *mutex)
{
    __tsan_mutex_destroy(mutex, __tsan_mutex_not_static);
    REAL(g_mutex_clear)(mutex);
}

void
g_mutex_lock(GMutex *mutex)
{
    REAL(g_mutex_lock)(mutex);
    after_lock(mutex);
}

gboolean
g_mutex_trylock(GMutex *mutex)
{
    if (!REAL(g_mutex_trylock)(mutex)) {
        return FALSE;
    }
    __tsan_mutex_pre_lock(mutex, __tsan_mutex_try_lock);
    __tsan_mutex_post_lock(mutex, __tsan_mutex_try_lock, 0);
    return TRUE;
}

void
g_mutex_unlock(GMutex *mutex)
{
    before_unlock(mutex);
    REAL(g_mutex_unlock)(mutex);
}

void
g_cond_wait(GCond *cond, GMutex *mutex)
{
    before_unlock(mutex);
    REAL(g_cond_wait)(cond, mutex);
    after_lock(mutex);
}

gboolean
g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    before_unlock(mutex);
    gboolean signalled = REAL(g_cond_wait_until)(cond, mutex, end_time);
    after_lock(mutex);
    return signalled;
}
