"""The six services, each in a process of its own, on a database, a broker and peers that are shared over the network.

Imports are late, so that a process holds only what its own service needs.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.types import ASGIApp

from energy_tracker.clients.directory import Directory
from energy_tracker.wiring import options
from energy_tracker.wiring.process import Process

StartAlone = Callable[[Process], Awaitable[ASGIApp]]
"""Starts a service; what it leaves on the stack of the process ends it."""


async def user_alone(process: Process) -> ASGIApp:
    """Start user-service: it needs its database alone."""
    from energy_tracker.wiring.user import user_service

    service = user_service(
        engine=await process.database(),
        clock=process.clock,
        default_time_zone=process.settings.default_time_zone,
        retention=options.retention(process.settings),
    )
    return await process.stack.enter_async_context(service)


async def device_alone(process: Process) -> ASGIApp:
    """Start device-service: it needs its database, and follows user-service."""
    from energy_tracker.wiring.device import device_service

    peers = process.peers(await process.http())
    service = device_service(engine=await process.database(), clock=process.clock, users=peers.users)
    return await process.stack.enter_async_context(service)


async def ingestion_alone(process: Process) -> ASGIApp:
    """Start ingestion-service: it needs the log, and follows device-service."""
    from energy_tracker.services.ingestion.adapters.kafka import KafkaDoor
    from energy_tracker.services.ingestion.adapters.registry import RegistryRefusals
    from energy_tracker.wiring.ingestion import ingestion_service
    from energy_tracker.wiring.simulation import simulated_meters

    http = await process.http()
    directory = Directory(devices=process.peers(http).devices, clock=process.clock)
    simulation = simulated_meters(process.settings, process.clock, http, directory, process.own_url)

    def owner_of(device_id: int) -> int | None:
        device = directory.device(device_id)
        return None if device is None else device.user_id

    async def learn() -> None:
        if not directory.stale:
            await directory.refresh()

    log = await process.log()
    service = ingestion_service(
        door=KafkaDoor(log, owner_of=owner_of, learn=learn),
        log_health=log.health,
        directory=RegistryRefusals(directory),
        clock=process.clock,
        simulation=simulation,
        limits=options.limits(process.settings),
    )
    app = await process.stack.enter_async_context(service)
    process.stack.push_async_callback(simulation.close)
    process.follow(directory)
    return app


async def usage_alone(process: Process) -> ASGIApp:
    """Start usage-service: it needs the log and the readings, and follows user-service and device-service.

    It begins once those have told of the homes: before, every reading would be that of a device nobody knows.
    """
    from energy_tracker.wiring.usage import usage_service
    from energy_tracker.wiring.usage_stream import kafka_and_influx

    peers = process.peers(await process.http())
    directory = Directory(users=peers.users, devices=peers.devices, clock=process.clock)
    await process.learn(directory)
    kafka, influx = await process.broker(), options.influx(process.settings)
    partitions = await process.partitions(kafka)
    with process.startup.part("readings"):
        backends = await process.stack.enter_async_context(
            kafka_and_influx(
                kafka=kafka,
                influx=influx,
                partitions=partitions,
                clock=process.clock,
                reached_at=process.reached_at,
            )
        )
    service = usage_service(
        backends=backends, directory=directory, clock=process.clock, options=options.usage(process.settings)
    )
    app = await process.stack.enter_async_context(service)
    process.follow(directory)
    return app


async def alert_alone(process: Process) -> ASGIApp:
    """Start alert-service: it needs its database and the log, and follows user-service."""
    from energy_tracker.wiring.alert import alert_service

    peers = process.peers(await process.http())
    directory = Directory(users=peers.users, clock=process.clock)
    engine, log = await process.database(), await process.log()
    service = alert_service(
        engine=engine,
        log=log,
        log_health=log.health,
        directory=directory,
        clock=process.clock,
        mail=options.mail(process.settings),
        policy=options.mail_policy(process.settings),
    )
    app = await process.stack.enter_async_context(service)
    process.follow(directory)
    return app


async def insight_alone(process: Process) -> ASGIApp:
    """Start insight-service: it starts without the others, and asks them."""
    from energy_tracker.wiring.insight import insight_service

    peers = process.peers(await process.http())
    directory = Directory(users=peers.users, devices=peers.devices, clock=process.clock)
    service = insight_service(
        usage=peers.usage, directory=directory, clock=process.clock, adviser=options.adviser(process.settings)
    )
    app = await process.stack.enter_async_context(service)
    process.follow(directory)
    return app


ALONE: Final[Mapping[str, StartAlone]] = {
    "user": user_alone,
    "device": device_alone,
    "ingestion": ingestion_alone,
    "usage": usage_alone,
    "alert": alert_alone,
    "insight": insight_alone,
}
