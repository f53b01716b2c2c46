"""What evaluations, streams, an SDK, events and kills see while each part of the platform fails."""
