" :compiler netc, then :make %
if exists('current_compiler') | finish | endif
let current_compiler = 'netc'
CompilerSet makeprg=netc\ check
CompilerSet errorformat=%Eerror[%.%#]:\ %m,%Inote[%.%#]:\ %m,%Wwarning[%.%#]:\ %m,%C\ %#-->\ %f:%l:%c,%-G%.%#
