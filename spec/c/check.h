/* check.h: the little that C self-tests share. A program counts its checks and ends with
 * return check_done(); which prints "N passed, N failed" for test.sh.
 */
#ifndef SPEC_CHECK_H
#define SPEC_CHECK_H

#include <stdbool.h>
#include <stdio.h>

static int check_passed, check_failed;

__attribute__((unused)) static bool check_that(bool ok, const char *file, int line,
                                               const char *what) {
  if (ok) {
    check_passed++;
  } else if (check_failed++ < 40) {
    printf("%s:%d: %s\n", file, line, what);
  }
  return ok;
}
#define CHECK(x) check_that((x), __FILE__, __LINE__, #x)

__attribute__((unused)) static int check_done(void) {
  printf("%d passed, %d failed\n", check_passed, check_failed);
  return check_failed != 0;
}

#endif
