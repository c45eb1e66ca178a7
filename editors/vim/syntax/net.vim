" Vim syntax for netc's model descriptions; words as in docs/language.md, section 17
if exists('b:current_syntax') | finish | endif
syn keyword netReserved if else over using from where in of when every and or not
syn keyword netConstant true false none inf training
syn keyword netReducer sum prod mean max min argmax argmin any all
syn match netHead /\v%(^|[;{])\s*\zs%(import|hyper|fn|layer|network|draw|optimizer|procedure|data|train|fit|search|require|param|state|instance|for|scan|repeat|stop|keep|read|generate|split|minimize|maximize|measure|predict|augment|batch|epochs|steps|step|stage|strategy|report|save)>/
syn match netType /\v<%(int|bool|class|text)>\ze\s*[(\[]/
syn match netNumber /\v<\d+%(\.\d+)?%([eE][-+]?\d+)?>/
syn match netOperator /|>\|<-\|->\|\~\|\.\./
syn region netString start=/"/ skip=/\\./ end=/"/ oneline
syn match netComment /#.*/ contains=@Spell
hi def link netReserved Statement
hi def link netConstant Constant
hi def link netReducer Function
hi def link netHead Keyword
hi def link netType Type
hi def link netNumber Number
hi def link netOperator Operator
hi def link netString String
hi def link netComment Comment
let b:current_syntax = 'net'
