"""What surrounds the rows: conflicts by the key alone, expressions in the server's terms, in an order that is right."""

from __future__ import annotations

from typing import Any

import pytest

from bulkwriter import MisconfigurationError
from bulkwriter.backends.mysql.expressions import CycleError, columns_read, in_order, translated
from bulkwriter.backends.mysql.session import Server
from tests.mysql_parts import MARIADB, MYSQL, column, statements, table

PLAIN = table(column("id", is_nullable=False), column("n"), column("v", "varchar"))
TWO_KEYS = table(column("id"), column("n"), keys={"PRIMARY": ("id",), "n": ("n",)})
AUTO = table(column("id", is_auto_increment=True), column("n"))


class TestConflicts:
    """``ON DUPLICATE KEY UPDATE`` would update whatever row it meets."""

    def test_a_plain_insert_has_nothing_behind_its_rows(self) -> None:
        """Nor a policy without a key of its own, for a generated one is like no other."""
        assert statements(PLAIN, "id", "n").tail == ""
        assert statements(AUTO, "n", on_conflict="update").mode == "error"

    def test_an_update_sets_all_but_the_key(self) -> None:
        """By the name of the new row, or by ``VALUES``."""
        tail = statements(PLAIN, "id", "n", on_conflict="update").tail
        assert tail.startswith(" AS excluded ON DUPLICATE KEY UPDATE `id` = IF(")
        assert tail.endswith(", `n` = excluded.`n`")
        tail = statements(PLAIN, "id", "n", on_conflict="update", server=MARIADB).tail
        assert tail.startswith(" ON DUPLICATE KEY UPDATE `id` = IF(")
        assert tail.endswith(", `n` = VALUES(`n`)")

    @pytest.mark.parametrize("policy", ["skip", "update"])
    @pytest.mark.parametrize("target", [PLAIN, TWO_KEYS], ids=["one key", "two keys"])
    def test_a_row_that_is_met_by_another_key_than_its_own_makes_the_statement_fail(
        self, target: Any, policy: str
    ) -> None:
        """Else the key is set to itself, which changes nothing. Another key may be added at any time."""
        found = statements(target, "id", "n", on_conflict=policy)
        assert found.is_guarded
        guard = "`id` = IF(`s`.`t`.`id` <=> excluded.`id`, `s`.`t`.`id`, (SELECT 1 UNION SELECT 2))"
        assert guard in found.tail
        assert (found.tail == f" AS excluded ON DUPLICATE KEY UPDATE {guard}") == (policy == "skip")

    def test_an_expression_never_stores_null_as_something_else(self) -> None:
        """Where a column must not be NULL."""
        target = table(column("id"), column("n", is_nullable=False))
        tail = statements(target, "id", "n", on_conflict="update", update_columns={"n": "t.n + 1"}).tail
        assert "`n` = COALESCE((`s`.`t`.n + 1\n), (SELECT 1 UNION SELECT 2))" in tail

    def test_a_condition_reads_what_was_there(self) -> None:
        """The column that it reads is set last."""
        tail = statements(PLAIN, "id", "n", "v", on_conflict="update", update_where="excluded.n > t.n").tail
        assert tail.index("`v` = IF(") < tail.index("`n` = IF(")
        assert tail.endswith("`n` = IF((excluded.n > `s`.`t`.n\n), excluded.`n`, `s`.`t`.`n`)")

    def test_what_reads_two_columns_for_each_other_is_refused(self) -> None:
        """MySQL would give one of them the new value of the other."""
        with pytest.raises(MisconfigurationError, match="one column after the other"):
            statements(PLAIN, "id", "n", "v", on_conflict="update", update_columns={"n": "t.v", "v": "t.n"})

    def test_deletes_are_by_the_whole_key(self) -> None:
        """One column by a list, several by all of them."""
        found = statements(PLAIN, "id", delete=True)
        assert (found.head, found.template, found.tail) == ("DELETE FROM `s`.`t` WHERE `id` IN (", "%s", ")")
        pair = table(column("a"), column("b%"), keys={"PRIMARY": ("a", "b%")})
        assert statements(pair, "a", "b%", delete=True).template == "(`a` = %s AND `b%%%%` = %s)"
        with pytest.raises(MisconfigurationError, match="primary key"):
            statements(PLAIN, "n", delete=True)


class TestReturning:
    """What can be given back, and how."""

    def test_mariadb_gives_back_with_the_insert(self) -> None:
        """But not with a conflict, where it does not say what became of a row."""
        assert statements(AUTO, "n", returning=("id",), server=MARIADB).tail == " RETURNING `id`"
        assert not statements(AUTO, "id", "n", returning=("n",), on_conflict="update", server=MARIADB).gives_back

    def test_generated_keys_are_derived_only_where_that_is_proven(self) -> None:
        """What only speaks MySQL's language numbers its rows as it likes."""
        assert statements(AUTO, "n", returning=("id",)).written.names == ("id",)
        tidb = Server("MySQL", (8, 0, 11), is_genuine=False, most_bytes=2**20, is_read_only=False, place="tidb:4000:0")
        with pytest.raises(MisconfigurationError, match="one after the other"):
            statements(AUTO, "n", returning=("id",), server=tidb)

    def test_rows_without_any_key_cannot_be_found_again(self) -> None:
        """That is said when they are planned."""
        with pytest.raises(MisconfigurationError, match="needs rows with a key"):
            statements(PLAIN, "n", returning=("v",), server=MYSQL)


class TestExpressions:
    """The caller writes ``t`` and ``excluded``, whatever the server calls them."""

    @pytest.mark.parametrize(
        ("expression", "mysql", "mariadb"),
        [
            ("t.n + excluded.n", "X.n + excluded.n", "X.n + VALUES(n)"),
            ("`t`.`a b` || EXCLUDED . `c``d`", "X.`a b` || excluded.`c``d`", "X.`a b` || VALUES(`c``d`)"),
            ("'t.n' + \"t.n\" + at.n", "'t.n' + \"t.n\" + at.n", "'t.n' + \"t.n\" + at.n"),
            ("t.n -- t.n\n+ 1 /* t.n */ # t.n", "X.n -- t.n\n+ 1 /* t.n */ # t.n", "X.n -- t.n\n+ 1 /* t.n */ # t.n"),
        ],
    )
    def test_names_are_put_into_the_servers_terms(self, expression: str, mysql: str, mariadb: str) -> None:
        """And texts and comments are left alone."""
        assert translated(expression, "X", has_row_alias=True) == mysql
        assert translated(expression, "X", has_row_alias=False) == mariadb

    def test_what_is_read_of_the_row_that_is_there(self) -> None:
        """With or without its name; not what is read of the new one."""
        assert columns_read("t.A + excluded.b + `c d` + greatest(e, 't.f')") == {"a", "c d", "greatest", "e"}

    def test_a_column_is_set_after_all_that_read_it(self) -> None:
        """Whatever the order in which they were given."""
        assert in_order({"a": {"a"}, "b": {"a"}, "c": {"b", "A".lower()}}) == ["c", "b", "a"]
        with pytest.raises(CycleError):
            in_order({"a": {"b"}, "b": {"a"}})
