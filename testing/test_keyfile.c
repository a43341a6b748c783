#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/keyfile.h"

#define ID "27848739-7e62-4138-9fd3-098a63964b6b"
#define OTHER_ID "27848739-7e62-4138-9fd3-098a63964b6c"

static char path[64];
static struct keyfile k;
static struct err e;

static int open_folder(void **state)
{
    (void)state;
    strcpy(path, "/tmp/v2c-key-XXXXXX");
    if (sodium_init() < 0 || !mkdtemp(path))
        return -1;
    strcat(path, "/key");
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    unlink(path);
    *strrchr(path, '/') = '\0';
    return rmdir(path);
}

static void write_text(const char *text)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void lines_are_users(void **state)
{
    (void)state;
    write_text("# ours\n\n" ID " home\r\n  " OTHER_ID
               "\talice@b  tunnel=web,team-*,$x  host=*,.a.example\n#");
    assert_int_equal(keyfile_read(&k, path, &e), 0);
    assert_int_equal(k.count, 2);
    assert_string_equal(k.users[0].id, ID);
    assert_string_equal(k.users[0].name, "home");
    assert_null(k.users[0].tunnels);
    assert_null(k.users[0].hosts);
    assert_string_equal(k.users[1].tunnels, "web,team-*,$x");
    assert_string_equal(k.users[1].hosts, "*,.a.example");
    assert_ptr_equal(keyfile_user(&k, NULL), &k.users[0]);
    assert_ptr_equal(keyfile_user(&k, "alice@b"), &k.users[1]);
    assert_null(keyfile_user(&k, "bob"));
    keyfile_free(&k);
}

static void what_is_wrong_is_said_with_its_line_and_without_ids(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "nobody is in it"},
        {"# nobody\n", "nobody is in it"},
        {"home\n", "line 1: the id is none"},
        {"\n27848739-7e62-4138-9fd3-098a63964b6 home\n", "line 2: the id is none"},
        {ID "0 home\n", "the id is none"},
        {"27848739_7e62-4138-9fd3-098a63964b6b home\n", "the id is none"},
        {ID "\n", "want a name"},
        {ID " a,b\n", "want a name"},
        {ID " home tunel=x\n", "neither; want \"ID NAME [tunnel=ID,...] [host=NAME,...]\""},
        {ID " home tunnel=x tunnel=y\n", "neither"},
        {ID " home tunnel=\n", "want tunnels"},
        {ID " home tunnel=a,,b\n", "want tunnels"},
        {ID " home tunnel=a/b\n", "want tunnels"},
        {ID " home host=a b\n", "neither"},
        {ID " home host=a..b\n", "want hostnames"},
        {ID " home host=a:80\n", "want hostnames"},
        {ID " home\n" ID " other\n", "line 2: the name, or the id, of another line"},
        {ID " home\n" OTHER_ID " home\n", "line 2: the name, or the id, of another line"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(bad[i].text);
        assert_int_equal(keyfile_read(&k, path, &e), -1);
        if (!strstr(e.text, bad[i].says))
            fail_msg("%s: %s", bad[i].text, e.text);
        assert_null(strstr(e.text, "2784"));
    }
}

static void only_its_owner_may_read_it(void **state)
{
    (void)state;
    static const mode_t shared[] = {0640, 0604, 0620, 0602, 0610};
    write_text(ID " home\n");
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
        assert_int_equal(chmod(path, shared[i]), 0);
        assert_int_equal(keyfile_read(&k, path, &e), -1);
        assert_non_null(strstr(e.text, "chmod 600"));
    }
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(keyfile_read(&k, path, &e), 0);
    keyfile_free(&k);
    unlink(path);
    assert_int_equal(keyfile_read(&k, path, &e), -1);
}

static void users_are_added_with_fresh_ids(void **state)
{
    (void)state;
    struct stat st;
    const struct key_user home = {.name = "home"},
                          alice = {.name = "alice", .tunnels = "web,x", .hosts = "a.example"};
    unlink(path);
    assert_int_equal(keyfile_add(path, &home, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(keyfile_add(path, &alice, &e), 0);
    assert_int_equal(keyfile_add(path, &home, &e), -1);
    assert_non_null(strstr(e.text, "\"home\" is in it already"));
    assert_int_equal(keyfile_read(&k, path, &e), 0);
    assert_int_equal(k.count, 2);
    assert_string_not_equal(k.users[0].id, k.users[1].id);
    assert_string_equal(k.users[1].tunnels, "web,x");
    assert_string_equal(k.users[1].hosts, "a.example");
    keyfile_free(&k);
}

static void a_file_that_is_wrong_or_not_whole_is_not_spoilt(void **state)
{
    (void)state;
    const struct key_user alice = {.name = "alice"}, odd = {.name = "a b"};
    write_text(ID " home ");
    assert_int_equal(keyfile_add(path, &alice, &e), 0);
    assert_int_equal(keyfile_read(&k, path, &e), 0);
    assert_int_equal(k.count, 2);
    keyfile_free(&k);
    assert_int_equal(keyfile_add(path, &odd, &e), -1);
    write_text("something else\n");
    assert_int_equal(keyfile_add(path, &alice, &e), -1);
    struct source *s = source_read(path, &e);
    assert_non_null(s);
    assert_string_equal(s->text, "something else\n");
    source_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_users),
        cmocka_unit_test(what_is_wrong_is_said_with_its_line_and_without_ids),
        cmocka_unit_test(only_its_owner_may_read_it),
        cmocka_unit_test(users_are_added_with_fresh_ids),
        cmocka_unit_test(a_file_that_is_wrong_or_not_whole_is_not_spoilt),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
