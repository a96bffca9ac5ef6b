/* The hand-over of one process from giver G to taker T, and the giver's taking it back:
   SPIN model of proto/cluster/adopt.c. Either node, or none, dies at any step; cancel may
   come at any time. A dead node is fenced before its word is touched. Properties: at no
   time do two live nodes run it; it is never lost unless a node died that ran it or held
   its image; the image is given back exactly once, and only after its last READ.
   Mutations that must be found:
     -DBUG_NO_FENCE    the giver takes ADOPTING back before it has fenced the taker
     -DBUG_RUN_EARLY   the taker runs before its CAS to RUNNING has completed
     -DBUG_BLIND_THAW  the giver thaws by a plain store instead of a CAS
     -DBUG_EARLY_FREE  the taker releases before its last page READ completed */
mtype = { QUEUED, ADOPTING, RUN_G, RUN_T, FREE };
mtype word = QUEUED;         /* the owner word, in G's memory */
bit g_dead, t_dead, g_runs, t_runs, t_down;
bit fenced;                  /* G has destroyed T's queue pairs and keys */
bit heard;                   /* G has noticed that T is silent: dead, or cut off */
bit cut;                     /* T lives, but G takes it for dead: mutual death */
bit image = 1, reading, released, t_done;
byte frees = 0;
bit claimed, won;

proctype giver() {
end_giver:
    do
    :: atomic { g_dead -> break }
    /* cancel: CAS from QUEUED, by the owner alone */
#ifdef BUG_BLIND_THAW
    :: !g_dead && word == QUEUED -> word = RUN_G; g_runs = 1; break
#else
    :: atomic { !g_dead && word == QUEUED -> word = RUN_G; g_runs = 1; break }
#endif
    :: atomic { !g_dead && heard && !fenced ->
#ifndef BUG_NO_FENCE
           fenced = 1
#else
           skip
#endif
       };
       /* after the fence nothing of T reaches the word */
       if
       :: atomic { !g_dead && word == ADOPTING -> word = RUN_G; g_runs = 1 }; break
       :: atomic { !g_dead && word == QUEUED -> word = RUN_G; g_runs = 1 }; break
       :: atomic { !g_dead && word == RUN_T -> image = 0; frees++; word = FREE }; break
       :: atomic { !g_dead && word == FREE }; break
       :: atomic { g_dead }; break
       fi
    :: atomic { !g_dead && released && word == RUN_T ->
           word = FREE;
           assert(!reading || fenced);      /* never under a READ that could still land */
           image = 0; frees++; break }
    od
}

proctype taker() {
    /* chain 1: CAS QUEUED -> ADOPTING, READ descriptor. The pair is dead once fenced. */
    atomic { if :: t_dead || fenced || g_dead -> goto down
                :: else -> if :: word == QUEUED -> word = ADOPTING; claimed = 1
                              :: else -> goto down fi fi };
    /* chain 2: READ aux and root, CAS ADOPTING -> RUNNING */
#ifdef BUG_RUN_EARLY
    t_runs = 1;
#endif
    atomic { if :: t_dead || fenced || g_dead -> goto down
                :: else -> if :: word == ADOPTING -> word = RUN_T; won = 1
                              :: else -> goto down fi fi };
    /* its completion: without it the adoption is dropped */
    atomic { if :: t_dead || fenced || g_dead -> goto down :: else -> t_runs = 1 fi };
    /* pages: READ page, READ epoch */
    atomic { if :: t_dead || fenced || g_dead -> goto lender_gone :: else -> reading = 1 fi };
#ifdef BUG_EARLY_FREE
    released = 1;
#endif
    atomic { if :: t_dead || fenced || g_dead -> reading = 0; goto lender_gone
                :: else -> assert(image); reading = 0 fi };
    atomic { if :: t_dead || fenced || g_dead -> goto lender_gone :: else -> released = 1 fi };
    t_done = 1;
    goto over;
lender_gone:
    atomic { t_runs = 0; t_down = 1 };      /* killed: its pages died, with an exit record */
    goto over;
down:
    t_down = 1;                             /* dropped before any instruction */
over:
    skip
}

proctype world() {
    if
    :: atomic { g_dead = 1; g_runs = 0; image = 0 }
    :: atomic { t_dead = 1; t_runs = 0; reading = 0 }; heard = 1
    :: cut = 1; heard = 1                   /* only ever with the fence of both sides */
    :: skip
    fi
}

init { atomic { run giver(); run taker(); run world() } }

/* Never twice. After a cut T may run its last instructions until it notices; then G has
   already fenced it and counts it as dead with what ran there: not with what it queued. */
active proctype never_twice() {
end_never:
    atomic { (g_runs && t_runs) -> assert(false) }
}

/* At rest: it runs somewhere, or has been given on whole, or a death explains its end. */
active proctype observer() {
    timeout ->
    assert(g_runs || t_runs || t_done || g_dead || t_dead || (cut && won));
    assert(frees <= 1);
    assert(g_dead || image == 1 || word == FREE)
}
