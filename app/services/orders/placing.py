"""A signal on its way to the venue: judged, and sent by the one who judged it."""

from __future__ import annotations

from app.services.orders.intake import OrderIntake
from app.services.orders.sending import OrderSender


def place_signal(intake: OrderIntake, sender: OrderSender, signal_id: str) -> None:
    """Judge a signal and, where it became an order, send it: one hop, not two."""
    accepted = intake.accept_to_send(signal_id, sender)
    if accepted.order is None:
        return
    if accepted.desk is not None:
        sender.send_claimed(accepted.order, accepted.desk)
    else:
        sender.send_seen(accepted.order)
