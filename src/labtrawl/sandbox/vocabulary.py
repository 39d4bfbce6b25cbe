"""Words of the generated story: the people, places and work of an invented coastal-sensing lab.

Entered by the generator's rooms only. Everyone and everything here is invented.
"""

PEOPLE = (
    ("ada.lindqvist", "Ada Lindqvist", "Research engineer"),
    ("tomas.okafor", "Tomás Okafor", "Postdoctoral researcher"),
    ("mei.tanaka", "田中 芽衣", "Firmware engineer"),
    ("jonas.brekke", "Jonas Brekke", "Field technician"),
    ("priya.raman", "Priya Raman", "PhD student"),
    ("zoe.karras", "Ζωή Καρρά", "Data engineer"),
    ("omar.haddad", "عمر حداد", "PhD student"),
    ("ingrid.solheim", "Ingrid Solheim", "Professor"),
    ("lukasz.wojcik", "Łukasz Wójcik", "Platform engineer"),
    ("noa.benami", "נועה בן־עמי", "Oceanographer"),
    ("chidi.eze", "Chidi Eze", "Software developer"),
    ("sofia.marquez", "Sofía Márquez Ibáñez", "Statistician"),
    ("henrik.dahl", "Henrik Dahl", "Electronics engineer"),
    ("yuki.mori", "森 勇気", "Master's student"),
    ("amelie.roux", "Amélie Roux", "PhD student"),
    ("dmitri.sokolov", "Дмитрий Соколов", "Numerical modeller"),
    ("fatou.diallo", "Fatou Diallo", "Research software engineer"),
    ("sean.odonnell", "Seán Ó Dónaill", "Boat crew"),
    ("linh.nguyen", "Nguyễn Thùy Linh", "PhD student"),
    ("marta.kovacs", "Kovács Márta", "Test engineer"),
    ("viggo.holm", "Viggo Holm", "Student assistant"),
    ("aisha.rahman", "Aisha Rahman", "Data steward"),
    ("pedro.alves", "Pedro Alves", "Software developer"),
    ("elif.yildiz", "Elif Yıldız", "Student assistant"),
    ("grace.mwangi", "Grace Mwangi", "Hydrologist"),
    ("anton.weber", "Anton Weber", "System administrator"),
    ("kalea.kahale", "Kaleaʻokalani Kahale", "Oceanographer"),
    ("ravi.iyer", "Ravi Iyer", "PhD student"),
    ("nina.petrova", "Нина Петрова", "Designer"),
    ("oskar.nyberg", "Oskar Nyberg", "Student assistant"),
    ("bea.castellanos", "Beatriz Castellanos", "Project manager"),
    ("wen.zhao", "赵雯", "Postdoctoral researcher"),
    ("isla.macrae", "Isla MacRae", "Field technician"),
    ("hugo.lambert", "Hugo Lambert", "Master's student"),
    ("sara.eriksen", "Sara Eriksen", "Legal adviser"),
    ("joon.park", "박준", "Firmware engineer"),
    ("emeka.obi", "Emeka Obi", "Student assistant"),
    ("clara.fischer", "Clara Fischer", "Technical writer"),
    ("mateo.silva", "Mateo Silva", "Numerical modeller"),
    ("tuva.lie", "Tuva Lie", "Student assistant"),
)
GIVEN_NAMES = ("Alva", "Bo", "Cai", "Dana", "Eli", "Finn", "Gia", "Hal", "Ivy", "Jun", "Kit", "Lea")
FAMILY_NAMES = ("Abe", "Berg", "Cruz", "Dunn", "Engen", "Frey", "Gill", "Hult", "Ito", "Jang")

# path, name, description, visibility; a parent stands before its children
GROUPS = (
    ("fjordlab", "Fjordlab", "Coastal sensing lab: instruments, models, data.", "private"),
    ("fjordlab/firmware", "Firmware", "What runs inside the instruments.", "private"),
    ("fjordlab/models", "Models", "Waves, currents, sediment.", "private"),
    ("fjordlab/models/waves", "Waves", "Wave spectra and forecasts.", "private"),
    ("fjordlab/models/waves/nowcast", "Nowcast", "The next six hours.", "private"),
    ("fjordlab/field", "Field stations", "Buoys, moorings and the boat.", "private"),
    ("fjordlab/field/buoys", "Buoys", "Forty drifting and moored buoys.", "private"),
    ("fjordlab/platform", "Platform", "Ingest, storage and machines.", "private"),
    ("fjordlab/teaching", "Teaching", "Courses and theses.", "private"),
    ("harbour-pilot", "Harbour Pilot", "Pilot project with the harbour.", "private"),
    ("open-tide", "Open Tide", "Open tools for tide gauges. 🌊", "public"),
)
FORBIDDEN_GROUP = (
    "coastguard-data",
    "Coastguard Data",
    "Reachable from the coastguard's own network only.",
    "private",
)
OUTSIDE_GROUPS = (
    ("common-cartography", "Common Cartography", "Free map tools.", "public"),
    ("harbour-office", "Harbour Office", "Internal.", "private"),
    ("city-council", "City Council", "Working groups of the city.", "private"),
)

PROJECTS = {
    "fjordlab": ("handbook", "website", "publications", "lab-inventory", "onboarding"),
    "firmware": (
        "wave-buoy-firmware",
        "bootloader",
        "sensor-drivers",
        "radio-stack",
        "power-manager",
        "hil-bench",
        "gps-sync",
    ),
    "models": ("swash", "sediment-transport", "calibration", "model-registry", "tide-tables"),
    "waves": ("spectra", "hindcast", "wave-viewer", "bathymetry"),
    "nowcast": ("nowcast-service", "ensemble-runner", "forecast-api"),
    "field": (
        "campaign-planner",
        "boat-log",
        "station-health",
        "ctd-processing",
        "mooring-design",
        "dive-log",
    ),
    "buoys": ("buoy-fleet", "drift-tracker", "battery-study", "anchor-loads", "telemetry-decoder"),
    "platform": (
        "ingest",
        "timeseries-store",
        "dashboards",
        "identity",
        "backup-jobs",
        "terraform",
        "observability",
        "object-gateway",
    ),
    "teaching": ("signal-course", "thesis-template", "autumn-school", "exercises", "grading-bot"),
    "harbour-pilot": ("berth-forecast", "pilot-app", "quay-sensors", "harbour-contracts"),
    "open-tide": ("tidegauge", "tide-cli", "gauge-catalogue", "docs"),
    "coastguard-data": ("incident-feed", "radar-tracks"),
    "common-cartography": ("map-tiles", "projection-kit", "legend-lint"),
    "harbour-office": ("tariffs", "mooring-register"),
    "city-council": ("flood-committee",),
}

LABELS = (
    ("bug", "#d9534f", "Something does not work", 1),
    ("feature", "#5cb85c", "New behaviour", None),
    ("calibration", "#8e44ad", "Concerns sensor calibration", None),
    ("needs data", "#f0ad4e", "Waits for field data", 3),
    ("safety", "#cc0033", "People or instruments at risk", 0),
    ("docs", "#428bca", None, None),
    ("workflow::doing", "#0033cc", "Scoped label", None),
    ("workflow::review", "#00b140", "Scoped label", None),
    ("good first issue", "#7f8c8d", "For new students", None),
    ("été 2026 ☀️", "#e67e22", "Summer campaign", None),
    ("<b>legacy</b>", "#34495e", 'Quotes "and" <markup>', None),
    ("flaky", "#a8d695", "Fails now and then", 2),
)

VERBS = (
    "Fix",
    "Look into",
    "Rework",
    "Document",
    "Test",
    "Simplify",
    "Measure",
    "Review",
    "Explain",
    "Clean up",
)
SUBJECTS = (
    "salinity drift correction",
    "clock skew after GPS loss",
    "retry of the LoRa uplink",
    "spectra binning below 0.05 Hz",
    "NetCDF export of daily means",
    "battery estimate in cold water",
    "timestamps in the boat log",
    "tide prediction across daylight saving",
    "unit of turbidity (NTU or FNU)",
    "map tiles at high latitude",
    "anchor load alarm",
    "checksum of the telemetry frame",
    "quality flags for spikes",
    "watchdog reset while logging",
    "ensemble member 7 diverging",
    "upload of large CTD casts",
    "station metadata for Ålesund",
    "password reset mail",
    "memory use of the decoder",
    "gap filling over weekends",
)
REASONS = (
    "seen on station 12 last night",
    "the students stumble over it every autumn",
    "blocks the next campaign",
    "the harbour asked for it",
    "noticed while reading the logs of the storm",
    "needed for the reviewers of the paper",
    "it costs us about two hours a week",
)
REMARKS = (
    "Same here on buoy 4, only after the second reboot.",
    "I can reproduce it with the data of last Tuesday.",
    "Could we wait until after the campaign? The boat leaves on Monday.",
    "Done, please have another look.",
    "Looks good to me 👍 one question: what happens below 0 °C?",
    "I would rather keep the old behaviour behind a flag.",
    "Thanks! That explains the jump in the plot.",
    "Let us talk about it on Thursday.",
    "The unit is wrong here: mS/cm, not S/m.",
    "Ran it for 48 h on the bench, no reset any more.",
    "Nice. Can you add a test with the recording from the storm?",
    "This was the cable. I hate that cable.",
)
HOSTILE_TEXTS = (
    "<script>alert('buoy')</script> and </textarea><img src=x onerror=alert(1)>",
    "\u202etxet tfel-ot-thgir\u202c then back, مرحبا بالعالم, שלום עולם",
    "Zalgo t̵̢̛h̶̖͐e̸̯͝ ̶̟͝d̷̻̈́r̶̘̓i̶̞͝f̸̙̌t̶̰͐, flags 🇳🇴🏳️‍🌈👩🏽‍🔬, null\u2028line separator",
    "'; DROP TABLE buoys; -- {{7*7}} ${jndi:ldap://invalid} %s %n \\u0000",
    '=HYPERLINK("http://invalid";"click")\n+1+1\n@SUM(A1)\n\ttab\r\nCRLF',
    "``` unclosed fence\n\n| a | b |\n|--|\n[link](javascript:alert(1)) ![x](data:,x)",
)

STAGES = (
    ("build", ("compile", "docs-build")),
    ("test", ("unit", "hardware-in-loop", "lint")),
    ("deploy", ("package", "publish")),
)
