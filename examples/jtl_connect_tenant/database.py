"""The tenants that have connected, in SQLite or PostgreSQL: one row for each, however often it connects."""

from collections.abc import Callable, Mapping

from sqlalchemy import String, create_engine, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateTable


class Base(DeclarativeBase):
    pass


class Tenant(Base):
    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    slug: Mapped[str | None]
    connected_by: Mapped[str] = mapped_column(String(36))
    times_connected: Mapped[int]


INSERTS: Mapping[str, Callable[[type[Tenant]], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
"""The databases whose INSERT can update the row that is there already."""


class Tenants:
    """The table of tenants. Its methods block, so async code calls them in a thread."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)
        if self._engine.dialect.name not in INSERTS:
            raise ValueError(f"DATABASE_URL names {self._engine.dialect.name}; use one of {', '.join(INSERTS)}")

    def create_table(self) -> None:
        """Make the table where there is none yet; what comes after the first version is for a migration tool."""
        try:
            self._create_table()
        except DBAPIError:  # PostgreSQL, where another process makes it at the same moment: by now it has
            self._create_table()

    def _create_table(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(CreateTable(Base.metadata.tables["tenants"], if_not_exists=True))

    def connect(self, tenant_id: str, *, slug: str | None, user: str) -> Tenant:
        """Note that a user has connected a tenant, and give its row.

        It is one statement: of two connections at the same moment the first inserts and the second updates.
        """
        insert = INSERTS[self._engine.dialect.name](Tenant)
        insert = insert.values(id=tenant_id, slug=slug, connected_by=user, times_connected=1)
        upsert = insert.on_conflict_do_update(
            index_elements=[Tenant.id],
            set_={
                "slug": func.coalesce(insert.excluded.slug, Tenant.slug),  # not every token names it
                "connected_by": insert.excluded.connected_by,
                "times_connected": Tenant.times_connected + 1,
            },
        )
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            return session.scalars(upsert.returning(Tenant)).one()

    def find(self, tenant_id: str) -> Tenant | None:
        """The row of a tenant that has connected."""
        with Session(self._engine) as session:
            return session.get(Tenant, tenant_id)

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()
