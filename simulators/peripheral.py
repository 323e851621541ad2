"""Simulated Bluetooth health devices: what each keeps, shows and sends.

    from simulators.peripheral_indicating import BloodPressureCuff, PulseOximeter, WeightScale
    from simulators.peripheral_glucose import GlucoseMeter

    cuff = BloodPressureCuff(air, address="F0:00:00:00:00:01", serial="BP-0001", clock=clock)
    await cuff.start(); ...; await cuff.stop()          # or: async with cuff:

    cuff.device                     "eui64:...": the identity its observations will carry
    cuff.keep(*measurements)        stored in the device, nothing is sent (taken while no gateway is near)
    await cuff.offer()              advertise until all that is kept has been acknowledged by a gateway
    await cuff.measure(*ms)         keep and offer
    cuff.kept, cuff.delivered       lists of Kept: delivered are those a gateway has acknowledged, in that order
    cuff.clock_offset = timedelta(minutes=-90)          its wall clock is this much off (settable while it runs)
    cuff.sends_again = 1            the next connection repeats this many acknowledged records first
    cuff.drops_after = 2            the link is dropped after this many records of the next connection, once
    cuff.corrupts_next = 1          this many frames are cut short before the good one is sent

A measurement is given in the terms of `devices.nomenclature`: `Measurement(kind=BLOOD_PRESSURE, unit="mm[Hg]",
values=(128, 79, 95, 66), taken_at=now)`; a value of None is sent as NaN (a failed reading). The stamp is `taken_at` in
the zone of the device plus `clock_offset`. Everything random is the caller's.
"""
