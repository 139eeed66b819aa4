#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checks themselves: each finds what it is there for, and nothing else."""

import os
import shutil
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(os.path.dirname(os.path.dirname(HERE)), "tools", "lib")]
import declarations  # noqa: E402
import formatting  # noqa: E402
import layout  # noqa: E402
import operations  # noqa: E402
import source  # noqa: E402
import steps  # noqa: E402
import structure  # noqa: E402
import unittest_xml  # noqa: E402
import words  # noqa: E402
from source import File  # noqa: E402


class Source(unittest.TestCase):
    def test_comments_and_literals_are_blank_and_lines_stay(self):
        text = 'int a; // friend {\n/* { \n */ const char* s = "{\\"}"; '
        text += 'char c = \'{\'; int big = 1\'000;\nR"(\n{)"'
        code = source.blank(text)
        self.assertEqual(code.count("\n"), text.count("\n"))
        self.assertEqual(len(code), len(text))
        self.assertNotIn("{", code)
        self.assertIn("1'000", code)

    def test_names_of_included_files_stay(self):
        self.assertIn('"ring/abi.h"', source.blank('#include "ring/abi.h"\n'))

    def test_the_tree_is_found(self):
        paths = {file.path for file in source.tree()}
        self.assertLessEqual({"ring/abi.h", "tests/tidy/source.py", "README.md"}, paths)
        self.assertFalse([path for path in paths if path.startswith(source.NOT_OURS)])


class Layout(unittest.TestCase):
    def test_width(self):
        self.assertEqual(list(layout.too_wide(File("a.cc", "x" * 110 + "\n" + "x" * 111))),
                         ["a.cc:2: 111 columns"])
        self.assertEqual(list(layout.too_wide(File("a.md", "| " + "x" * 300 + " |"))), [])
        self.assertEqual(len(list(layout.too_wide(File("a.md", "| " + "x" * 320 + " |")))), 1)
        self.assertEqual(len(list(layout.too_wide(File("a.cc", "| " + "x" * 180 + " |")))), 1)
        marker = "<!-- bench/tables: losses " + "x" * 180 + " -->"
        self.assertEqual(list(layout.too_wide(File("a.md", marker))), [])
        self.assertEqual(list(layout.too_wide(File("qemu/trace-events", "x" * 111))), [])

    def test_licence(self):
        line = "# SPDX-License-Identifier: Apache-2.0\n"
        self.assertEqual(list(layout.no_licence(File("a", "#!/bin/sh\n" + line))), [])
        self.assertEqual(len(list(layout.no_licence(File("a", "1\n2\n3\n" + line)))), 1)

    def functions(self, text):
        return list(layout.cpp_functions(source.blank(text)))

    def test_functions_of_cpp(self):
        text = """namespace n {
class C : public B {
 public:
  C(int a) : a_(a), b_{a} {
    if (a) { f(); }
  }
  int Get() const { return a_; }
};
template <class T>
auto F(T t,
       std::function<void()> g = [] {}) -> int {
  for (int i = 0; i < 3; ++i) {
    g();
  }
  return [&] { return 1; }();
}
struct S { int x = 0; };
}  // namespace n
"""
        self.assertEqual([name for name, _, _ in self.functions(text)], ["C", "Get", "F"])
        self.assertEqual(self.functions(text)[0][1:], (4, 6))
        self.assertEqual(self.functions(text)[2][2], 16)

    def test_a_long_function_is_found(self):
        for lines, found in ((68, 0), (69, 1)):
            body = "int F() {\n" + "  g();\n" * lines + "}\n"
            self.assertEqual(len(list(layout.long_functions(File("a.cc", body)))), found)
            body = "def f():\n" + "    g()\n" * (lines + 1)
            self.assertEqual(len(list(layout.long_functions(File("a.py", body)))), found)


class Operations(unittest.TestCase):
    def tree(self, table="VectorTable<Sum>", opcode="VGPU_OP_SUM", number="16u", section="## SUM (0x10)"):
        row = ("struct Sum {\n  static constexpr uint32_t kOpcode = " + opcode + ";\n"
               '  static constexpr const char* kName = "SUM";\n};\nusing Vectors = ' + table + ";\n")
        return [File("operations/table.h", row), File("api/v.h", f"#define VGPU_OP_SUM {number} /* c */\n"),
                File("docs/spec/operations.md", f"# Operations\n\n{section}\n"),
                File("m/a.cc", "F(VGPU_OP_SUM);\n")]

    def test_words(self):
        self.assertEqual(list(operations.false_words(self.tree())), [])
        self.assertEqual(len(list(operations.false_words(self.tree(section="## SUM")))), 1)
        self.assertEqual(len(list(operations.false_words(self.tree(number="17u")))), 2)
        self.assertEqual(len(list(operations.false_words(self.tree(opcode="16")))), 1)
        self.assertEqual(len(list(operations.false_words(self.tree()[1:]))), 1)

    def test_in_no_table(self):
        self.assertEqual(list(operations.in_no_table(self.tree())), [])
        self.assertEqual(len(list(operations.in_no_table(self.tree(table="VectorTable<Other>")))), 1)

    def test_named_elsewhere(self):
        tree = self.tree()
        self.assertEqual(list(operations.named_elsewhere(tree, tree)), ["m/a.cc:1: VGPU_OP_SUM"])
        others = [File("guest/a.h", "VGPU_OP_SUM"), File("m/b.cc", "// VGPU_OP_SUM\nVGPU_OP_SUM_UP(Sum);\n")]
        self.assertEqual(list(operations.named_elsewhere(others, tree)), [])


class Structure(unittest.TestCase):
    def test_circles_of_modules(self):
        files = [File("m/a.h", '#include "m/b.h"\n'), File("m/b.cc", '#include "m/b.h"\n#include "m/c.h"\n'),
                 File("m/b.h", ""), File("m/c.h", '#include "a.h"\n'), File("m/d.cc", '#include "m/a.h"\n')]
        graph = structure.includes(files)
        self.assertEqual(graph["m/b"], {"m/c"})
        self.assertEqual(structure.circles(graph), [["m/a", "m/b", "m/c"]])
        graph["m/c"].clear()
        self.assertEqual(structure.circles(graph), [])

    def test_folders(self):
        self.assertEqual(structure.folders({"a/x": {"b/y", "a/z"}, "a/z": set(), "b/y": set()}),
                         {"a": {"b"}, "b": set()})

    def test_friends(self):
        text = "  friend class B;\n// friend class C;\n"
        self.assertEqual(len(list(structure.friends(File("a.h", text)))), 1)
        self.assertEqual(list(structure.friends(File("a.h", "  friend bool operator==(A, B);\n"))), [])

    def test_memory_orders(self):
        text = "x.load(std::memory_order_relaxed); __atomic_load_n(p, __ATOMIC_ACQUIRE); // memory_order_x\n"
        text += "M::StoreRelease(p, 1);\nM::template FullFence<F>(); std::atomic_thread_fence(o);\nx.load();"
        self.assertEqual([found.split(": ")[1]
                          for found in structure.memory_orders(File("mediator/a.cc", text))],
                         ["memory_order_relaxed", "__atomic_load_n", "__ATOMIC_ACQUIRE", "StoreRelease",
                          "FullFence", "atomic_thread_fence"])
        for path in ("ring/a.h", "engine/engine.cc", "mediator/loop/mailbox.h"):
            self.assertEqual(list(structure.memory_orders(File(path, text))), [])
        self.assertTrue(list(structure.memory_orders(File("mediator/mailbox.cc", text))))

    def test_places_that_need_no_memory_orders_any_more(self):
        files = [File(place + ("a.h" if place.endswith("/") else ""), "__ATOMIC_ACQUIRE")
                 for place in structure.ORDERS]
        self.assertEqual(list(structure.orders_unused(files)), [])
        self.assertEqual(list(structure.orders_unused(files[1:])), [next(iter(structure.ORDERS))])

    def test_reserved_names(self):
        text = "// Placement::Writer\nclass Thief : Placement::Writer {};\n"
        self.assertEqual(list(structure.reserved_names(File("mediator/lane/lane.h", text))),
                         ["mediator/lane/lane.h:2: Placement::Writer is for mediator/gpu/placements.h alone"])
        self.assertEqual(list(structure.reserved_names(File("mediator/gpu/placements.h", text))), [])

    def test_what_ships(self):
        files = [File(path, "")
                 for path in ("ring/a.h", "ring/a_test.cc", "serve/test_ring.h", "gpu/fake/cuda.cc",
                              "tests/x.cc", "README.md")]
        self.assertEqual([file.path for file in structure.product(files)], ["ring/a.h"])


class Declarations(unittest.TestCase):
    HEADER = """#define MACRO(a) \\
  int Hidden(a);
namespace n {
class B;
// void Commented();
class C final : public B {
 public:
  explicit C(int a);
  ~C() override;
  C(const C&) = delete;
  bool Used() const;
  bool Dead(int a, std::span<const int> b = {}) const;
  virtual void Pure() = 0;
  void Inline() { Used(); }
  void (*pointer)(int);
  std::function<void(int)> f_;
  struct alignas(64) Inner { void Go(); int x = 0; };
  friend void Friend(C);
  template <class T>
  void Generic(const T& t);
 private:
  int a_{0};
};
int Free(int);
int Gone(int);
uint32_t Space();
extern const char* kText;
static_assert(sizeof(C) == 8);
VGPU_STATIC_ASSERT(sizeof(C) == 8, "x");
}  // namespace n
"""
    SOURCE = """namespace n {
C::C(int a) : a_{a}, f_([] { return 1; }) {}
C::~C() = default;
bool C::Used() const { return true; }
void C::Inner::Go() {}
template <class T>
void C::Generic(const T& t) { t(); }
int Free(int a) {
  return a;
}
class D { public: int Gone(int); };
int D::Gone(int) { return 1; }
}
uint32_t n::Space() { Gone(1); C(1).Inline(); Inner().Go(); C(2).Generic(1); return Free(2); }
"""

    def found(self, check, extra=""):
        header = File("m/a.h", self.HEADER)
        return list(check([header], [header, File("m/a.cc", self.SOURCE + extra)]))

    def test_what_is_not_defined(self):
        self.assertEqual(self.found(declarations.undefined), ["m/a.h:12: Dead is declared and not defined",
                                                              "m/a.h:25: Gone is declared and not defined"])
        bodies = "bool C::Dead(int a, std::span<const int>) const { return a; }\nint Gone(int) { return 1; }"
        self.assertEqual(self.found(declarations.undefined, bodies), [])

    def test_what_nobody_names(self):
        self.assertEqual(self.found(declarations.unnamed),
                         ["m/a.h:12: nobody calls Dead", "m/a.h:13: nobody calls Pure",
                          "m/a.h:26: nobody calls Space"])
        calls = "int main() { c->Dead(1); c->Pure(); Space(); }"
        self.assertEqual(self.found(declarations.unnamed, calls), [])


class Words(unittest.TestCase):
    def test_comments(self):
        text = "int deaf_ = 0;  // deaf_, Doze, `heir`, memory_thread.h and x->Bury(): but he is deaf\n"
        text += '/* a strike\n an errand: */ f("heir");\n'
        self.assertEqual(list(words.findings(File("a.cc", text), identifiers=False)),
                         ["a.cc:1: 'deaf': say 'muted'", "a.cc:2: 'strike': say 'stall'",
                          "a.cc:3: 'errand': say 'task'"])
        self.assertEqual(list(words.findings(File("a/BUILD", 'x = "heir"  # an heir\n'))),
                         ["a/BUILD:1: 'heir': say 'spare engine, or successor'"])

    def test_documents(self):
        text = "`heir` *heir* an heir\n    heir\n```\nheir\n```\n[x](heir.md), that heir.\n| a | heir |\n"
        found = [line.split(":")[1] for line in words.findings(File("a.md", text))]
        self.assertEqual(found, ["1", "6", "7"])
        self.assertEqual(len(list(words.findings(File("CONTRIBUTING.md", text)))), 2)

    def test_names(self):
        file = File("m/deaf_list.h", "int deaf_until = 0; class DeafErrand; int strikeout;\n")
        self.assertEqual(list(words.findings(file, identifiers=False)), [])
        self.assertEqual(list(words.findings(file, identifiers=True)),
                         ["m/deaf_list.h:1: deaf_until: say 'muted'",
                          "m/deaf_list.h:1: DeafErrand: say 'muted'",
                          "m/deaf_list.h:1: DeafErrand: say 'task'", "m/deaf_list.h: its name: say 'muted'"])


class Formatting(unittest.TestCase):
    def test_what_is_checked(self):
        files = [File(path, "") for path in ("ring/a.h", "qemu/vgpu-stub.c", "gpu/k.cu", "tests/x.py")]
        self.assertEqual(formatting.paths(files), ["ring/a.h", "gpu/k.cu"])

    def test_a_file_that_is_not_formatted(self):
        program, why_not = formatting.tool()
        if program is None:
            self.skipTest(why_not)
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(os.path.join(source.root(), ".clang-format"), folder)
            for name, text in (("good.cc", "int x;\n"), ("bad.cc", "int x;\nint  y;\n")):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(text)
            self.assertEqual(list(formatting.findings(program, folder, ["good.cc", "bad.cc"])),
                             ["bad.cc:2: not as clang-format has it; run: clang-format-14 -i bad.cc"])


class Steps(unittest.TestCase):
    CODE = """namespace n {
void Free(int a) { Called(a); }
bool Server::Take() const { return true; }
class Ring { public: void Publish() { } };
template <class T>
auto Ring<T>::Begin(T t) -> int {
  return t;
}
}  // namespace n
"""

    def found(self, *rows):
        text = "\n".join(["## Other", "| `a/x.cc` | not here |", "", steps.HEADING, "", "| step | where |",
                          "|---|---|", *rows, "", "| `a/x.cc` `Another` | table |"])
        return list(steps.findings(File("A.md", text), [File("a/x.cc", self.CODE)]))

    def test_functions_that_are_there(self):
        some = "| free | `a/x.cc` `Free`; then `a/x.cc` `Server::Take`, `Take`, `Ring::Publish` |"
        self.assertEqual(self.found("| **a request** | |", some,
                                    "| template | `a/x.cc` `Ring::Begin` |"), [])

    def test_what_is_missing(self):
        self.assertEqual(self.found("| gone | `a/y.cc` `Free` |"), ["A.md:8: there is no file 'a/y.cc'"])
        self.assertEqual(self.found("| only called | `a/x.cc` `Free`, `Called` |"),
                         ["A.md:8: a/x.cc does not define Called"])
        self.assertEqual(self.found("| of another class | `a/x.cc` `Lane::Take`, `Other::Publish` |"),
                         ["A.md:8: a/x.cc does not define Lane::Take",
                          "A.md:8: a/x.cc does not define Other::Publish"])
        self.assertEqual(self.found("| no function | `a/x.cc` |"), ["A.md:8: no function of a/x.cc"])
        self.assertEqual(self.found("| no file | `Free` |"), ["A.md:8: there is no file ''"])
        self.assertEqual(self.found("| nothing |  |"), ["A.md:8: no file"])

    def test_the_table_is_there_and_fits_on_a_screen(self):
        self.assertEqual(len(self.found()), 1)
        row = "| free | `a/x.cc` `Free` |"
        self.assertEqual(self.found(*[row] * steps.SCREEN), [])
        self.assertEqual(len(self.found(*[row] * (steps.SCREEN + 1))), 1)


if __name__ == "__main__":
    unittest_xml.main()
