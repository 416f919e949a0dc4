/* Loaded before the C library while valgrind runs a program: what the program reads from standard input counts as
 * secret (undefined to memcheck, which reports every branch and every address that depends on it), and what it writes
 * counts as published. So the Rust code under test needs no line that knows of valgrind. */
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
#include <valgrind/memcheck.h>

ssize_t read(int file, void *buffer, size_t count) {
    ssize_t got = syscall(SYS_read, file, buffer, count);
    if (file == STDIN_FILENO && got > 0) {
        VALGRIND_MAKE_MEM_UNDEFINED(buffer, got);
    }
    return got;
}

ssize_t write(int file, const void *buffer, size_t count) {
    VALGRIND_MAKE_MEM_DEFINED(buffer, count);
    return syscall(SYS_write, file, buffer, count);
}
