"""The database's clock in the hands of a test: `loyalty.present()` says what a row says.

The services ask no other clock for what they write, so a test can have tomorrow now.
"""

from __future__ import annotations

import datetime

from tests.databases import Connection


async def stop_clock(superuser: Connection, moment: datetime.datetime) -> None:
    """Stops the clock of a test's own database; `set_clock` moves it from then on."""
    await superuser.execute(
        """
        CREATE TABLE public.clock (moment timestamptz NOT NULL);
        GRANT SELECT ON public.clock TO PUBLIC;
        INSERT INTO public.clock VALUES ('-infinity');
        CREATE OR REPLACE FUNCTION loyalty.present() RETURNS timestamptz
        LANGUAGE sql VOLATILE AS 'SELECT c.moment FROM public.clock AS c';
        """
    )
    await set_clock(superuser, moment)


async def set_clock(superuser: Connection, moment: datetime.datetime) -> None:
    """Sets a stopped clock."""
    await superuser.execute("UPDATE public.clock SET moment = $1", moment)
