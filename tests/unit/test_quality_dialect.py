"""The contract with Great Expectations and duckdb-engine: fails if a release of either breaks reading DuckDB."""

from pathlib import Path

import duckdb
import pytest
import sqlalchemy

from pipelines.quality import dialect

ROWS = [(1, "a"), (2, "b"), (3, None), (4, "c")]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "some.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("create table numbered (number integer, letter varchar)")
        con.executemany("insert into numbered values ($1, $2)", ROWS)
        con.execute("create view seen as select *, number < 4 as is_small from numbered")
    return path


@pytest.fixture
def engine(database: Path) -> sqlalchemy.Engine:
    dialect.register()
    dialect.register()  # again changes nothing
    engine = sqlalchemy.create_engine(f"duckdb+buffered:///{database}", connect_args={"config": {"threads": 1}})
    yield engine
    engine.dispose()


def test_rows_outlive_their_connection(engine: sqlalchemy.Engine) -> None:
    query = sqlalchemy.text("select number, letter from numbered order by number")
    with engine.connect() as connection:
        result = connection.execute(query)
    assert [tuple(row) for row in result.fetchall()] == ROWS


def test_rows_come_one_by_one_in_portions_and_at_once(engine: sqlalchemy.Engine) -> None:
    raw = engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute("select number from numbered order by number")
    assert [column[0] for column in cursor.description] == ["number"]
    assert cursor.fetchone() == (1,)
    assert cursor.fetchmany(2) == [(2,), (3,)]
    assert cursor.fetchmany() == [(4,)]
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []
    assert cursor.rowcount == -1
    raw.close()


def test_parameters_and_writes_work(engine: sqlalchemy.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            sqlalchemy.text("insert into numbered values (:number, :letter)"), {"number": 5, "letter": "d"}
        )
    with engine.connect() as connection:
        counted = connection.execute(sqlalchemy.text("select count(*) from numbered where number > :n"), {"n": 3})
        assert counted.scalar() == 2


def test_a_wrong_query_raises(engine: sqlalchemy.Engine) -> None:
    with engine.connect() as connection, pytest.raises(sqlalchemy.exc.DBAPIError, match="no_such_table"):
        connection.execute(sqlalchemy.text("select * from no_such_table"))


def test_great_expectations_counts_and_names_rows_of_a_view(database: Path) -> None:
    import great_expectations as gx
    import great_expectations.expectations as gxe

    dialect.register()
    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_sql("test", connection_string=f"duckdb+buffered:///{database}")
    batch = source.add_table_asset("seen", table_name="seen").add_batch_definition_whole_table("all").get_batch()
    suite = gx.ExpectationSuite(
        name="seen",
        expectations=[
            gxe.ExpectColumnValuesToNotBeNull(column="letter"),
            gxe.ExpectColumnValuesToNotBeNull(column="letter", mostly=0.75),
            gxe.ExpectColumnValuesToBeInSet(column="letter", value_set=["a", "b"]),
            gxe.ExpectColumnValuesToBeInSet(column="is_small", value_set=[True]),
            gxe.ExpectColumnValuesToBeBetween(column="number", min_value=1, max_value=4),
            gxe.UnexpectedRowsExpectation(unexpected_rows_query="select * from {batch} where number = 5"),
            gxe.ExpectTableRowCountToBeBetween(min_value=5),
        ],
    )
    plain = batch.validate(suite, result_format="BOOLEAN_ONLY")
    detailed = batch.validate(
        suite,
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": 20,
            "unexpected_index_column_names": ["number"],
            "return_unexpected_index_query": False,
        },
    )
    source.get_execution_engine().close()
    source.get_engine().dispose()

    expected = [False, True, False, False, True, True, False]
    outcomes = [
        {(str(result.expectation_config.kwargs), result.expectation_config.type): result for result in run.results}
        for run in (plain, detailed)
    ]
    for outcome in outcomes:
        by_order = [
            next(
                result
                for result in outcome.values()
                if result.expectation_config.type == expectation.expectation_type
                and result.expectation_config.kwargs.get("column") == getattr(expectation, "column", None)
                and result.expectation_config.kwargs.get("mostly", 1) == getattr(expectation, "mostly", 1)
            )
            for expectation in suite.expectations
        ]
        assert [result.success for result in by_order] == expected
    assert by_order[0].result["unexpected_count"] == 1
    assert by_order[0].result["partial_unexpected_index_list"] == [{"number": 3, "letter": None}]
    assert by_order[3].result["partial_unexpected_index_list"] == [{"number": 4, "is_small": False}]
    assert by_order[6].result["observed_value"] == 4
    # Every connection is closed: another configuration would be refused otherwise.
    with duckdb.connect(str(database), config={"threads": 1}) as con:
        con.execute("insert into numbered values (5, 'e')")
