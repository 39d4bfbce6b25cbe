import time,asyncio,pytest
from labtrawl.sandbox import *
from labtrawl.sandbox.world import generate
from labtrawl.sandbox.plan import *
from tests.rig.compare import *
from tests.rig.crawl import rig
from labtrawl.store import manifest, summary
from labtrawl.dataset.layout import dataset_root
async def test_a(tmp_path):
    t=time.time()
    w=build_world("small",seed=2,sizes={"groups":1,"projects":2,"issues": 12,"merge_requests":4,"notes":20,"commits":8,"pipelines":4,"ci_jobs":8,"events":6,"releases":2,"branches":4,"milestones":4,"environments":2,"deployments":4,"timelogs":4,"links":2})
    print("world",time.time()-t)
    for i in range(3):
      t=time.time()
      async with running(w) as s, rig(tmp_path/str(i),s.url) as site:
        await site.plan(w)
        async with site.crawler():
            await site.finished()
        t2=time.time()
        p=await site.store.read(summary.progress)
        print(t2-t,p, len(w.projects))
        g=await site.store.read(summary.gaps)
        print([(x.full_path,x.resource,x.reason) for x in g])
        tr=truth(w,external_url=site.url)
        print(tr.gaps())
        rows=list(await site.store.read(manifest.segments))
        items,twice=collected_items(dataset_root(site.data_dir),rows)
        e=expected_items(tr)
        print(len(items), len(e), time.time()-t2)
    for k in e:
        if items.get(k)!=e[k]: print(k, items.get(k), e[k]); 
