# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Tests that are shell functions, with a result for each in Bazel's $XML_OUTPUT_FILE. Source it, then:
#   skip_tests REASON TEST...   none can run here: the script ends well, and each is reported as skipped
#   run_tests TEST...           one after the other; the first that fails ends the script
# A script with an EXIT trap of its own calls end_tests in it.

shell_tests_results=''
shell_tests_current=''

trap end_tests EXIT

# record_test TEST [TAG MESSAGE]
record_test() {
  local message=${3:-} outcome=''
  message=${message//&/&amp;} message=${message//</&lt;} message=${message//\"/&quot;}
  [ $# = 1 ] || outcome="<$2 message=\"$message\"/>"
  shell_tests_results+="<testcase name=\"$1\">$outcome</testcase>"
}

end_tests() {
  local status=$?
  [ -z "$shell_tests_current" ] ||
    record_test "$shell_tests_current" failure "ended with status $status; see the log"
  [ -z "${XML_OUTPUT_FILE:-}" ] ||
    printf '<testsuite name="%s">%s</testsuite>\n' "${TEST_TARGET:-${0##*/}}" "$shell_tests_results" \
      >"$XML_OUTPUT_FILE"
}

skip_tests() {
  local reason=$1 test
  shift
  echo "SKIPPED: $reason"
  for test; do
    record_test "$test" skipped "$reason"
  done
  exit 0
}

run_tests() {
  local test
  for test; do
    shell_tests_current=$test
    echo "== $test"
    "$test"
    record_test "$test"
  done
  shell_tests_current=''
}
