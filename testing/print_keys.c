/* testing/print_keys.c -- prints the keys that v2c implements; testing/checks/keys.sh compares them with
 * the manual page. */
#include <stdio.h>

#include "conf/keys.h"

int main(void)
{
    conf_keys_print(stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}
